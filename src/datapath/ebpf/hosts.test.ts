// Two hosts, each with a guest, joined by an underlay. Real programs send.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FIELD, type FlowKey, markField, maskedKey, newKey, setMac } from '../../flow/fields.ts';
import { UP } from '../../flow/reasons.ts';
import { MAC_BROADCAST, parseMac } from '../../packet/address.ts';
import type { FlowEntry } from '../datapath.ts';
import { openEbpfDatapath } from './ebpf.ts';
import { Testbed, whyNoKernelTests } from './testing/testbed.ts';
import {
  build,
  flow,
  flowsOf,
  GUEST_MACS,
  OTHER,
  pings,
  place,
  type Side,
  transfers,
  within,
} from './testing/two-hosts.ts';

const FLOOD = 41;

/** What an agent does, at its smallest: every class that comes up gets the flow that `verdict` says, and goes on. */
async function serve(side: Side, until: Promise<unknown>, verdict: (key: FlowKey) => FlowEntry | undefined) {
  let done = false;
  let served = 0;
  const end = until.finally(() => {
    done = true;
  });
  while (!done) {
    await side.datapath.wait(50);
    for (const { key, frame, cause, gsoBytes } of side.datapath.poll(64)) {
      const entry = verdict(key);
      if (entry === undefined || (cause !== UP.miss && cause !== UP.memberMiss)) continue;
      side.datapath.install([entry]);
      const sense = cause === UP.miss ? 'from' : 'member';
      side.datapath.inject([{ sense, number: 100 + side.number, frame, gsoBytes }]);
      served++;
    }
  }
  await end;
  return served;
}

const skip = whyNoKernelTests();

describe('two hosts', { skip, concurrency: 1 }, () => {
  for (const [underlay, transmit] of [
    ['ip4', 'hand'],
    ['ip4', 'device'],
    ['ip6', 'hand'],
  ] as const) {
    test(`guests reach each other over an ${underlay} underlay, transmit by ${transmit}`, async () => {
      const bed = new Testbed(`${underlay}${transmit}`);
      await within(bed, async () => {
        const [one, two] = build(bed, underlay, transmit);
        for (const side of [one, two]) side.datapath.install(flowsOf(side));
        for (const bytes of ['56', '1400', '4000']) {
          await pings(one, '10.0.0.2', '-c', '2', '-i', '0.1', '-s', bytes);
          await pings(two, 'fd00::1', '-c', '2', '-i', '0.1', '-s', bytes);
        }
        await transfers(one, two, '10.0.0.2', 20_000_000);
        await transfers(two, one, 'fd00::1', 20_000_000);
        // By hand nothing leaves through the VXLAN device on an IPv4 underlay, else everything does.
        const [link] = JSON.parse(one.host.ip('-s', '-j', 'link', 'show', 'dev', 'aya-vx')) as [
          { stats64: { tx: { packets: number } } },
        ];
        const { packets } = link.stats64.tx;
        assert.equal(packets > 0, underlay === 'ip6' || transmit === 'device', `${packets} packets`);
      });
    });
  }

  for (const attachment of ['tcx', 'filter'] as const) {
    test(`an interface that was a port once carries tunnels when it leads to a host: ${attachment}`, async () => {
      const bed = new Testbed(`once${attachment}`);
      await within(bed, async () => {
        const [one, two] = build(bed, 'ip4', 'hand', attachment);
        for (const side of [one, two]) side.datapath.install(flowsOf(side));
        one.host.enter(() => one.datapath.plug(9, 'ul', { tap: true }));
        one.datapath.unplug(9);
        const { output } = await two.guest.start('ping', '-n', '-c', '1', '-W', '1', '10.0.0.1');
        assert.match(output, / 100% packet loss/, 'what an unplugged interface says is dropped');
        place(one, 'ip4');
        await pings(two, '10.0.0.1', '-c', '2', '-i', '0.1');
      });
    });
  }

  test('what is flooded reaches the guest of the other host, which answers by itself', async () => {
    const bed = new Testbed('flood');
    await within(bed, async () => {
      const [one, two] = build(bed, 'ip4', 'hand');
      for (const side of [one, two]) {
        const port = 100 + side.number;
        side.datapath.setFlood(FLOOD, { members: [port], hosts: [3 - side.number] });
        side.datapath.install([
          flow({ port, flood: 0, ethernetDestination: parseMac(GUEST_MACS[2 - side.number]!)! }, [
            { kind: 'output', port: OTHER - port },
          ]),
          flow({ port, flood: 0, ethernetDestination: MAC_BROADCAST }, [{ kind: 'flood', flood: FLOOD }]),
          flow({ port, flood: FLOOD, ethernetDestination: MAC_BROADCAST }, [{ kind: 'output', port }]),
        ]);
      }
      await pings(one, '10.0.0.2', '-c', '2', '-i', '0.1');
      const flooded = two.datapath.flows().filter(({ key }) => key[FIELD.flood.at] === FLOOD);
      assert.equal(flooded[0]!.packets, 1);
    });
  });

  test('first packets that come up are sent on and accepted, TCP and UDP, both families', async () => {
    const bed = new Testbed('first');
    await within(bed, async () => {
      const [one, two] = build(bed, 'ip4', 'hand');
      const work = async () => {
        await transfers(one, two, '10.0.0.2', 200_000);
        await transfers(one, two, 'fd00::2', 200_000);
        await pings(one, '10.0.0.2', '-c', '1', '-s', '4000');
        await pings(one, 'fd00::2', '-c', '1', '-s', '4000');
      };
      const exact = (side: Side) => (key: FlowKey) => {
        const answering = flowsOf(side).find(
          ({ key: of, mask, actions }) =>
            actions[0]?.kind === 'answerNeighbour' && Buffer.from(maskedKey(key, mask)).equals(of),
        );
        if (answering !== undefined) return answering;
        const mac = parseMac(GUEST_MACS[2 - side.number]!)!;
        const towards = newKey();
        setMac(towards, FIELD.ethernetDestination.at, mac);
        const { at, bytes } = FIELD.ethernetDestination;
        if (!Buffer.from(key.subarray(at, at + bytes)).equals(towards.subarray(at, at + bytes))) return undefined;
        const mask = newKey();
        for (const name of [
          'port',
          'ethernetDestination',
          'etherType',
          'protocol',
          'sourcePort',
          'destinationPort',
        ] as const)
          markField(mask, FIELD[name]);
        return {
          key: maskedKey(key, mask),
          mask,
          actions: [{ kind: 'output' as const, port: OTHER - 100 - side.number }],
        };
      };
      const working = work();
      const served = await Promise.all([serve(one, working, exact(one)), serve(two, working, exact(two))]);
      assert.ok(served[0] >= 4 && served[1] >= 4, `${served} first packets`);
      for (const { guest } of [one, two]) {
        const errors = /InCsumErrors\s+([0-9]+)/.exec(guest.run('nstat', '-asz', 'UdpInCsumErrors', 'TcpInCsumErrors'));
        assert.equal(Number(errors?.[1] ?? 0), 0);
      }
    });
  });

  test('programs are replaced and agents killed without losing a packet', async () => {
    const bed = new Testbed('restart');
    await within(bed, async () => {
      const [one, two] = build(bed, 'ip4', 'hand');
      for (const side of [one, two]) side.datapath.install(flowsOf(side));
      const before = one.datapath.flows().map(({ actions }) => actions);
      const pinging = pings(one, '10.0.0.2', '-q', '-c', '1500', '-i', '0.002');
      for (let generation = 0; generation < 5; generation++) {
        for (const side of [one, two]) {
          // The predecessor is still there when its successor takes over, or has been killed before.
          const old = side.datapath;
          side.datapath = side.host.enter(() => openEbpfDatapath(side.options));
          old.close();
        }
        await killedAgent(one);
      }
      await pinging;
      assert.deepEqual(new Set(one.datapath.flows().map(({ actions }) => actions)), new Set(before));
      assert.deepEqual(
        one.host.enter(() => one.datapath.plugged()),
        [{ port: 101, interfaceName: 'vm' }],
      );
    });
  });
});

/** Another process opens the same data path and is killed as soon as it has. */
async function killedAgent(side: Side): Promise<void> {
  const module = fileURLToPath(new URL('./ebpf.ts', import.meta.url));
  const script = `const { openEbpfDatapath } = await import(${JSON.stringify(module)});
    openEbpfDatapath(${JSON.stringify(side.options)}).flows();
    console.log('open'); setInterval(() => undefined, 1000);`;
  const child = spawn('nsenter', [`--net=${side.host.file}`, process.execPath, '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.kill('SIGKILL');
  await new Promise((resolve) => child.once('close', resolve));
}
