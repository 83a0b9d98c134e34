// Guests that want more flows than there are: they take nothing from others, and their packets still go by flows.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FlowTable } from '../flow/table.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { FakeDatapath } from './testing/fake-datapath.ts';
import { HERE, TestHost } from './testing/test-host.ts';

const macOf = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;

function hostWith(limits: { readonly flows: number; readonly flowsPerPort: number }): TestHost {
  const host = new TestHost(new FakeDatapath(), new FlowTable(limits));
  host.load(
    sample('bridge', 1),
    ...[5, 6, 7].map((n) =>
      sample('port', n, {
        deviceId: sampleId('bridge', 1),
        hostId: HERE,
        interfaceName: `tap${n}`,
        mac: macOf(n),
        addresses: [`10.0.0.${n}/24`],
      }),
    ),
  );
  host.settle();
  return host;
}
const frame = (from: number, to: number): string =>
  `eth(${macOf(from)}, ${macOf(to)}) ip(10.0.0.${from}, 10.0.0.99) udp(1, 2)`;

test('a port that has its share of flows gets new ones in the place of its own', () => {
  const host = hostWith({ flows: 100, flowsPerPort: 4 });
  host.send(6, frame(6, 7));
  for (let to = 100; to < 120; to++) host.send(5, frame(5, to));
  assert.deepEqual([host.flows.sizeOf(5), host.flows.sizeOf(6)], [4, 1]);
  assert.equal(host.upcalls.counts.oneShot, 0);
  assert.equal(host.datapath.flows().length, 5);
  assert.ok(host.takeInjected().every((each) => each.startsWith('from ')));
});

test('a full table gives the place of flows of the port that has the most', () => {
  const host = hostWith({ flows: 6, flowsPerPort: 5 });
  for (let to = 100; to < 105; to++) host.send(5, frame(5, to));
  host.send(6, frame(6, 7));
  host.send(7, frame(7, 6));
  host.send(6, frame(6, 5));
  assert.deepEqual([host.flows.sizeOf(5), host.flows.sizeOf(6), host.flows.sizeOf(7)], [3, 2, 1]);
  assert.equal(host.upcalls.counts.oneShot, 0);
  assert.equal(host.datapath.flows().length, 6);
});
