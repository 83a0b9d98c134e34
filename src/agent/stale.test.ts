// An agent that starts from an old copy: what it decides of ports that it does not know yet holds no longer than that.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import { HERE, TestHost } from './testing/test-host.ts';

const LAN = sampleId('bridge', 1);
const macOf = (n: number): string => `02:00:00:00:00:0${n}`;
const guest = (n: number): Resource =>
  sample('port', n, {
    deviceId: LAN,
    hostId: HERE,
    interfaceName: `tap${n}`,
    mac: macOf(n),
    addresses: [`10.0.0.${n}/24`],
  });
const packet = (from: number, to: string): string =>
  `eth(${macOf(from)}, ${to}) ip(10.0.0.${from}, 10.0.0.6) udp(1, 2)`;

/** What guest 5 sends to nobody that is known, as it is flooded to guest 6. */
const FLOODED = frameOf(packet(5, '02:00:00:00:00:99'));

test('flows of ports that were not known yet are decided anew when they are', () => {
  const before = new TestHost();
  before.load(sample('bridge', 1), guest(5), guest(6));
  before.send(5, packet(5, macOf(6)));
  before.datapath.comesUp(FLOODED, 6, { flood: 100_001 });
  before.settle();
  const left = before.datapath.flows();
  assert.deepEqual(before.actions(), ['output 6', 'output 6']);

  for (const known of [[], [sample('bridge', 1)], [guest(5), guest(6)]] as Resource[][]) {
    const host = new TestHost();
    host.datapath.install(left);
    host.load(...known);
    host.replica.adopt(host.datapath.flows());
    host.settle();
    host.change([sample('bridge', 1), guest(5), guest(6)]);
    host.settle();
    assert.ok(
      host.actions().every((actions) => actions === 'output 6'),
      `${host.installed().join('\n')}\n${known.length} objects known at the start`,
    );
  }
});
