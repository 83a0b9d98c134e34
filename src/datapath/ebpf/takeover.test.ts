// What a predecessor left in the kernel: found, listed, and mended where it was killed in the middle.

import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, test } from 'node:test';
import { parseIp } from '../../packet/address.ts';
import { CONTRACT_VERSION } from '../contract.ts';
import type { Datapath } from '../datapath.ts';
import { type EbpfDatapath, openEbpfDatapath } from './ebpf.ts';
import { Programs, TEST_PROGRAM } from './loader.ts';
import { u32At, u32Bytes } from './maps.ts';
import { type Namespace, Testbed, whyNoKernelTests } from './testing/testbed.ts';

const PORT = 6677;
const MEMBERS = Array.from({ length: 150 }, (_, at) => 1000 + at);
const peer = (last: number) => ({
  local: parseIp('192.0.2.1')!,
  remote: parseIp(`192.0.2.${last}`)!,
  interfaceName: 'ul',
  mtuBytes: 1600,
});

interface World {
  readonly host: Namespace;
  readonly pins: string;
  open(): EbpfDatapath;
}

async function within(body: (world: World) => void): Promise<void> {
  const bed = new Testbed('take');
  try {
    const host = bed.namespace('host');
    for (const name of ['ul', 'vm1', 'vm2']) host.ip('link', 'add', name, 'type', 'veth', 'peer', `${name}-peer`);
    const pins = bed.pinDirectory();
    const options = { pinDirectory: pins, underlayInterfaces: [], tunnelUdpPort: PORT };
    const opened: EbpfDatapath[] = [];
    const open = (): EbpfDatapath => {
      const datapath = openEbpfDatapath(options);
      opened.push(datapath);
      return datapath;
    };
    try {
      host.enter(() => body({ host, pins, open }));
    } finally {
      for (const datapath of opened) datapath.close();
    }
  } finally {
    await bed.close();
  }
}

/** Two ports, of which one is on an interface that can go; a flood of many; two hosts. */
function wireUp(datapath: Datapath): void {
  for (const [port, interfaceName] of [
    [11, 'vm1'],
    [12, 'vm2'],
  ] as const) {
    datapath.plug(port, interfaceName, { tap: true });
    datapath.setDelivery(port, { kind: 'local', interfaceName });
  }
  datapath.setDelivery(21, { kind: 'remote', host: 2 });
  datapath.setFlood(41, { members: MEMBERS, hosts: [2] });
  datapath.setFlood(42, { members: [11, 12], hosts: [] });
  datapath.setHost(2, peer(2));
  datapath.setHost(3, peer(3));
}

/** The tables themselves, as whoever is killed in the middle leaves them. */
function withTables(pins: string, work: (programs: Programs) => void): void {
  const programs = new Programs(path.join(pins, `v${CONTRACT_VERSION}`), [TEST_PROGRAM], 'tcx');
  try {
    work(programs);
  } finally {
    programs.close();
  }
}

describe('a predecessor', { skip: whyNoKernelTests(), concurrency: 1 }, () => {
  test('leaves what it has set, and a successor lists it', () =>
    within(({ open }) => {
      wireUp(open());
      const next = open();
      assert.deepEqual(
        next.places(),
        new Map([
          [11, { kind: 'local', interfaceName: 'vm1' }],
          [12, { kind: 'local', interfaceName: 'vm2' }],
          [21, { kind: 'remote', host: 2 }],
        ]),
      );
      assert.deepEqual(
        next.floods(),
        new Map([
          [41, { members: MEMBERS, hosts: [2] }],
          [42, { members: [11, 12], hosts: [] }],
        ]),
      );
      assert.deepEqual(
        next.hosts(),
        new Map([
          [2, peer(2)],
          [3, peer(3)],
        ]),
      );
    }));

  test('leaves places and hosts on interfaces that go: they are forgotten', () =>
    within(({ host, pins, open }) => {
      wireUp(open());
      host.ip('link', 'delete', 'vm2');
      host.ip('link', 'delete', 'ul');
      const next = open();
      assert.deepEqual([...next.places().keys()].sort(), [11, 21]);
      assert.deepEqual([...next.hosts().keys()], []);
      withTables(pins, (programs) => {
        assert.deepEqual(
          programs
            .map('delivery')
            .entries()
            .map(([key]) => u32At(key))
            .sort(),
          [11, 21],
        );
        assert.deepEqual(programs.map('peers').entries(), []);
      });
    }));

  test('is killed in the middle of a change: members, chains and peers are mended', () =>
    within(({ pins, open }) => {
      wireUp(open());
      withTables(pins, (programs) => {
        const members = programs.map('members');
        members.set(u32Bytes(11), u32Bytes(41));
        members.set(u32Bytes(13), u32Bytes(42));
        members.delete(u32Bytes(12));
        const floods = programs.map('floods');
        floods.set(u32Bytes(0x80000777), floods.get(u32Bytes(42))!);
        const peers = programs.map('peers');
        const [two, three] = [2, 3].map((host) => peers.entries().find(([, value]) => u32At(value) === host)!);
        peers.delete(three![0]);
        const stranger = two![0].slice();
        stranger[15] = 66;
        peers.set(stranger, two![1]);
      });
      open();
      withTables(pins, (programs) => {
        const flood = (member: number) => programs.map('members').get(u32Bytes(member));
        assert.deepEqual([11, 12].map(flood), [u32Bytes(42), u32Bytes(42)]);
        assert.equal(flood(13), undefined);
        assert.equal(programs.map('floods').get(u32Bytes(0x80000777)), undefined);
        const peers = programs.map('peers').entries();
        assert.deepEqual(peers.map(([key, value]) => [key[15], u32At(value)]).sort(), [
          [2, 2],
          [3, 3],
        ]);
      });
    }));
});
