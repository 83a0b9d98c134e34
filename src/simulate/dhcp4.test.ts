import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keyOfFrame } from '../flow/key.ts';
import { parseDhcp4 } from '../packet/dhcp4.ts';
import { lengthAtMtu } from '../packet/length.ts';
import { frameOf } from '../packet/words.ts';
import type { Resource } from '../topology/kinds.ts';
import { applyChanges, emptyTopology } from '../topology/snapshot.ts';
import { putAll, sample, sampleId } from '../topology/testing/samples.ts';
import { simulate } from './simulate.ts';

const NOTHING_LEARNED = { macPort: () => undefined, neighbour: () => undefined };
const HEADERS_BYTES = 14 + 20 + 8;
const MAC = '02:00:00:00:00:05';

/** The MTU that a guest on a bridge with these settings is offered. */
function offeredMtu(bridge: object, subnet: object, ...more: Resource[]): number | undefined {
  const port = { deviceId: sampleId('bridge', 1), hostId: sampleId('host', 1), interfaceName: 'tap5' };
  const { topology } = applyChanges(
    emptyTopology(),
    putAll(
      sample('bridge', 1, bridge),
      sample('port', 5, { ...port, mac: MAC, addresses: ['10.0.0.5/24'] }),
      sample('dhcpSubnet', 1, { bridgeId: sampleId('bridge', 1), prefix: '10.0.0.0/24', ...subnet }),
      ...more,
    ),
  );
  const frame = frameOf(`dhcp(discover, ${MAC})`);
  const { key } = keyOfFrame(frame, 5);
  const { born } = simulate({ key: key!, frame, lengthBytes: lengthAtMtu(frame) }, topology, NOTHING_LEARNED);
  const offer = born[0]!.frame;
  return parseDhcp4(offer, HEADERS_BYTES, offer.length)!.options.mtuBytes;
}

test('a guest is told the MTU of its subnet, else of its bridge, else what the tunnel zones leave', () => {
  const zone = sample('tunnelZone', 1, { underlayMtuBytes: 1400 });
  assert.equal(offeredMtu({}, {}), undefined);
  assert.equal(offeredMtu({}, {}, zone), 1350);
  assert.equal(offeredMtu({ mtuBytes: 1500 }, {}, zone), 1500);
  assert.equal(offeredMtu({ mtuBytes: 1500 }, { mtuBytes: 1300 }, zone), 1300);
});
