// Conformance: what is set is listed, so that a successor can keep what is still wanted and remove the rest.

import assert from 'node:assert/strict';
import { parseIp } from '../../packet/address.ts';
import { type Bed, FLOOD, HOSTS, NO_PORT, type Open, PORTS, REMOTE_PORT, withBed } from './bed.ts';

const [A, B, C, D] = PORTS;

const byNumber = <V>(map: ReadonlyMap<number, V>): [number, V][] => [...map].sort(([a], [b]) => a - b);

export function listingCases(open: Open): void {
  const it = (name: string, body: (bed: Bed) => Promise<void>) => withBed(open, name, body);

  it('places are listed as they were set, until they are taken back', async (bed) => {
    const { datapath } = bed;
    const here = (port: number) => ({ kind: 'local', interfaceName: bed.guest(port) }) as const;
    assert.deepEqual(byNumber(datapath.places()), [
      [A, here(A)],
      [B, here(B)],
      [C, here(C)],
      [D, here(D)],
      [REMOTE_PORT, { kind: 'remote', host: HOSTS[0] }],
    ]);
    datapath.setDelivery(A, { kind: 'remote', host: HOSTS[1] });
    datapath.setDelivery(B, undefined);
    datapath.setDelivery(REMOTE_PORT, here(B));
    datapath.unplug(C);
    datapath.setDelivery(NO_PORT, { kind: 'remote', host: 99 });
    assert.deepEqual(byNumber(datapath.places()), [
      [A, { kind: 'remote', host: HOSTS[1] }],
      [C, here(C)],
      [D, here(D)],
      [REMOTE_PORT, here(B)],
      [NO_PORT, { kind: 'remote', host: 99 }],
    ]);
  });

  it('floods are listed as they were set, however many members and hosts they have', async (bed) => {
    const { datapath } = bed;
    assert.deepEqual(byNumber(datapath.floods()), []);
    const many = { members: Array.from({ length: 150 }, (_, at) => 1000 + at), hosts: [HOSTS[1]] };
    const hosts = { members: [A], hosts: Array.from({ length: 70 }, (_, at) => 1 + at) };
    datapath.setFlood(FLOOD, { members: [C, A], hosts: [HOSTS[1], HOSTS[0]] });
    datapath.setFlood(FLOOD + 1, many);
    datapath.setFlood(FLOOD + 2, hosts);
    datapath.setFlood(FLOOD + 3, { members: [], hosts: [] });
    assert.deepEqual(byNumber(datapath.floods()), [
      [FLOOD, { members: [C, A], hosts: [HOSTS[1], HOSTS[0]] }],
      [FLOOD + 1, many],
      [FLOOD + 2, hosts],
      [FLOOD + 3, { members: [], hosts: [] }],
    ]);
    datapath.setFlood(FLOOD, undefined);
    datapath.setFlood(FLOOD + 1, { members: [B], hosts: [] });
    datapath.setFlood(FLOOD + 3, undefined);
    assert.deepEqual(byNumber(datapath.floods()), [
      [FLOOD + 1, { members: [B], hosts: [] }],
      [FLOOD + 2, hosts],
    ]);
  });

  it('hosts of both families are listed as they were set', async (bed) => {
    const { datapath, harness } = bed;
    const [one, two] = harness.peers;
    assert.deepEqual(byNumber(datapath.hosts()), [
      [HOSTS[0], one],
      [HOSTS[1], two],
    ]);
    const six = { ...one, local: parseIp('2001:db8::1')!, remote: parseIp('2001:db8::2')!, mtuBytes: 1450 };
    datapath.setHost(HOSTS[0], six);
    datapath.setHost(HOSTS[1], undefined);
    datapath.setHost(65_535, one);
    assert.deepEqual(byNumber(datapath.hosts()), [
      [HOSTS[0], six],
      [65_535, one],
    ]);
  });
}
