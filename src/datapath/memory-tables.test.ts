import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DROP, UP } from '../flow/reasons.ts';
import { parseIp4 } from '../packet/address.ts';
import { classOf, keyFor, tcp4, udp4, udp6 } from './conformance/frames.ts';
import { DatapathFull } from './datapath.ts';
import { MemoryDatapath, type MemoryOptions } from './memory.ts';

const PLENTY = { perSecond: 1000, burst: 1000 };

/** A data path with port 1 at interface g, and its clock. */
function withClock(options: Omit<MemoryOptions, 'now'> = {}) {
  const clock = { ms: 1000 };
  const datapath = new MemoryDatapath({ ...options, now: () => clock.ms });
  datapath.plug(1, 'g', { tap: false });
  const packets = (kind: 'up' | 'drop', id: number) =>
    datapath.counters().find((counter) => counter.kind === kind && counter.id === id)?.packets ?? 0;
  return { clock, datapath, packets };
}

test('a budget is filled as time passes, up to its burst', () => {
  const { clock, datapath, packets } = withClock();
  datapath.setBudgets({ miss: { perSecond: 2, burst: 3 }, service: PLENTY, exception: PLENTY });
  const send = (count: number) => {
    for (let n = 0; n < count; n++) datapath.receive('g', udp4({ destinationPort: 1 + Math.floor(clock.ms) + n }));
    return datapath.poll(100).length;
  };
  assert.equal(send(10), 3);
  clock.ms += 500;
  assert.equal(send(10), 1);
  clock.ms += 60_000;
  assert.equal(send(10), 3);
  assert.equal(packets('drop', DROP.missBudget), 23);
});

test('a long packet costs more of the budget than a short one', () => {
  const { datapath } = withClock();
  datapath.setBudgets({ miss: { perSecond: 1, burst: 4 }, service: PLENTY, exception: PLENTY });
  for (let n = 1; n <= 4; n++) datapath.receive('g', udp4({ payloadBytes: 5000, destinationPort: n }));
  assert.equal(datapath.poll(100).length, 1);
});

test('a key that got no answer comes up again after its time', () => {
  const { clock, datapath, packets } = withClock({ pendingPackets: 2, pendingMs: 100 });
  for (let n = 0; n < 5; n++) datapath.receive('g', udp4());
  assert.equal(packets('up', UP.miss), 2);
  assert.equal(packets('drop', DROP.pending), 3);
  clock.ms += 100;
  datapath.receive('g', udp4());
  assert.equal(packets('up', UP.miss), 3);
});

test('when nobody polls the ring is full, and that is counted', () => {
  const { datapath, packets } = withClock({ ringPackets: 2 });
  for (let n = 1; n <= 3; n++) datapath.receive('g', udp4({ destinationPort: n }));
  assert.equal(packets('drop', DROP.ringFull), 1);
  assert.equal(datapath.poll(100).length, 2);
});

test('a call that does not fit the flow table installs nothing, one that replaces does fit', () => {
  const { datapath } = withClock({ flowsMax: 2 });
  const flow = (port: number) => ({
    ...classOf(udp4({ destinationPort: port }), 1, ['destinationPort']),
    actions: [{ kind: 'output' as const, port: 1 }],
  });
  datapath.install([flow(1)]);
  assert.throws(() => datapath.install([flow(2), flow(3)]), DatapathFull);
  assert.equal(datapath.flows().length, 1);
  datapath.install([flow(1), flow(2), flow(2)]);
  assert.equal(datapath.flows().length, 2);
});

test('flows and packets that came up know how long ago that was', () => {
  const { clock, datapath } = withClock();
  datapath.install([{ ...classOf(udp4(), 1), actions: [] }]);
  clock.ms += 40;
  datapath.receive('g', udp4());
  datapath.receive('g', udp6());
  clock.ms += 2;
  assert.equal(datapath.flows()[0]!.idleMs, 2);
  assert.deepEqual(
    datapath.poll(9).map(({ ageMs }) => ageMs),
    [2],
  );
});

test('of an injected super-packet its segments count against the MTU', () => {
  const { datapath, packets } = withClock();
  datapath.setDelivery(2, { kind: 'local', interfaceName: 'h' });
  datapath.install([
    {
      ...classOf(tcp4(), 1),
      actions: [
        { kind: 'checkLength', mtuBytes: 1500 },
        { kind: 'output', port: 2 },
      ],
    },
  ]);
  const big = new Uint8Array(9000);
  big.set(tcp4());
  big.set([0x23, 0x1a], 16); // total length 8986
  assert.equal(keyFor(big, 1).length, 120);
  datapath.inject([{ sense: 'from', number: 1, frame: big, gsoBytes: 1460 }]);
  assert.equal(datapath.sent.length, 1);
  datapath.inject([{ sense: 'from', number: 1, frame: big, gsoBytes: 1461 }]);
  assert.equal(datapath.sent.length, 1);
  assert.equal(packets('drop', DROP.injectedMiss), 1);
});

test('a host is known by its underlay address as long as it is a peer', () => {
  const { datapath, packets } = withClock();
  const remote = parseIp4('192.0.2.9')!;
  datapath.setHost(3, { local: parseIp4('192.0.2.1')!, remote, interfaceName: 'u', mtuBytes: 1600 });
  datapath.setDelivery(1, { kind: 'local', interfaceName: 'g' });
  datapath.receiveTunnel(remote, 1, udp4());
  datapath.setHost(3, undefined);
  datapath.receiveTunnel(remote, 1, udp4());
  assert.equal(datapath.sent.length, 1);
  assert.equal(packets('drop', DROP.noPeer), 1);
});

test('what finds no room among the counters is counted as lost', () => {
  const { datapath } = withClock({ countersMax: 3 });
  datapath.install([{ ...classOf(udp4(), 1), actions: [{ kind: 'drop', reason: DROP.policy }] }]);
  for (let n = 0; n < 2; n++) datapath.receive('g', udp4());
  assert.deepEqual(
    datapath.counters().map(({ kind, packets }) => [kind, packets]),
    [
      ['portRx', 2],
      ['drop', 2],
    ],
  );
  for (let n = 0; n < 4; n++) datapath.receive('nobody', udp4());
  assert.deepEqual(datapath.counters().at(-1), { kind: 'lost', id: 0, port: 0, packets: 4, bytes: 4 * udp4().length });
  datapath.unplug(1);
  datapath.receive('nobody', udp4());
  assert.equal(datapath.counters().find(({ id, port }) => id === DROP.unknownInterface && port === 0)?.packets, 1);
});
