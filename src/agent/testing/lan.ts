// A bridge with guests, as many tests have it.

import type { Resource } from '../../topology/kinds.ts';
import { sample, sampleId } from '../../topology/testing/samples.ts';
import { HERE } from './test-host.ts';

export const LAN = sampleId('bridge', 1);
export const macOf = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;

/** Port n of the bridge, for the guest 10.0.0.n. */
export const guest = (n: number, hostId = HERE, fields: object = {}): Resource =>
  sample('port', n, {
    deviceId: LAN,
    hostId,
    interfaceName: `tap${n}`,
    mac: macOf(n),
    addresses: [`10.0.0.${n}/24`],
    ...fields,
  });
