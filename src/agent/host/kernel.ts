// The kernel's data path as the settings of the agent want it. Loaded only when it is used: it brings the kernel's
// libraries along.

import { join } from 'node:path';
import type { Datapath } from '../../datapath/datapath.ts';
import type { EbpfOptions } from '../../datapath/ebpf/ebpf.ts';
import type { EncapTx } from '../../lib/config.ts';
import type { Log } from '../../lib/log.ts';
import type { Id } from '../../topology/resource.ts';

export interface KernelSettings {
  /** Pinned programs and tables: `/run/ayatori`. */
  readonly runDirectory: string;
  /** VXLAN between hosts; the same on all hosts of a zone. */
  readonly tunnelUdpPort: number;
  /** Who builds tunnel packets; default `hand`: the program where it can. */
  readonly encapTx?: EncapTx;
}

export async function kernelDatapath(
  { log, ...settings }: KernelSettings & { readonly log: Log },
  hostId: Id,
): Promise<Datapath> {
  const { openEbpfDatapath } = await import('../../datapath/ebpf/ebpf.ts');
  return openEbpfDatapath({
    ...kernelOptions(settings, hostId),
    onReplaced: ({ version, carried }) => {
      const tables = carried ? 'its tables are carried over' : 'its tables cannot be converted, all is wired anew';
      log.info(`the data path of another version is replaced: ${tables}`, { contractVersion: version });
    },
  });
}

export function kernelOptions({ runDirectory, tunnelUdpPort, encapTx }: KernelSettings, hostId: Id): EbpfOptions {
  const pinDirectory = join(runDirectory, 'bpf', hostId);
  return { pinDirectory, underlayInterfaces: [], tunnelUdpPort, transmit: encapTx ?? 'hand' };
}
