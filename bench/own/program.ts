// The eBPF program by itself, through the kernel's program test-run: time to load, and nanoseconds for a packet that
// enters at a port and is handed to one here, by the place of its mask in the list of live ones. Counters and redirect
// are in it, devices and the tunnel are not.

import type { FlowEntry } from '../../src/datapath/datapath.ts';
import { HOOK_PROGRAMS, Programs } from '../../src/datapath/ebpf/loader.ts';
import { TestRun } from '../../src/datapath/ebpf/testing/testrun.ts';
import { FIELD, type FlowKey, markField, markPrefix, maskedKey, newKey, setIp, setU32 } from '../../src/flow/fields.ts';
import { keyOfFrame } from '../../src/flow/key.ts';
import { parseIp } from '../../src/packet/address.ts';
import { frameOf } from '../../src/packet/words.ts';
import type { OwnFigures } from './own.ts';

const [INGRESS, EGRESS, ELSEWHERE] = [101, 102, 103];
const MASKS = [1, 4, 16] as const;
/** Flows of the masks that are looked at in vain. */
const OTHER_FLOWS = 20_000;
const FRAMES = {
  ip4: frameOf('eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(10.0.0.1, 10.0.0.2) udp(1000, 2000) bytes(22)'),
  ip6: frameOf('eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip6(fd00::1, fd00::2) udp(1000, 2000) bytes(22)'),
} as const;
const RUNS = { full: { runs: 15, packets: 200_000 }, quick: { runs: 3, packets: 100_000 } } as const;

export async function measureProgram(quick: boolean): Promise<OwnFigures> {
  const { runs, packets } = quick ? RUNS.quick : RUNS.full;
  const times = (work: () => number): number[] => Array.from({ length: runs }, work);
  const figures: Record<string, OwnFigures[string]> = {
    load_ms: { unit: 'ms', runs: Array.from({ length: quick ? 3 : 5 }, loadMs) },
  };
  for (const [family, frame] of Object.entries(FRAMES)) {
    if (quick && family !== 'ip4') continue;
    for (const masks of MASKS) {
      const bed = new TestRun();
      try {
        bed.set('record_output', 0);
        bed.setDelivery(EGRESS, 'local');
        install(bed, frame, masks);
        const metric = `program_${family}_${masks}_masks`;
        figures[metric] = { unit: 'ns', runs: times(() => bed.measure(INGRESS, frame, packets)) };
      } finally {
        await bed.close();
      }
    }
  }
  return figures;
}

/** All programs that a host attaches, with their maps. */
function loadMs(): number {
  const start = performance.now();
  new Programs(undefined, [...HOOK_PROGRAMS], 'tcx').close();
  return performance.now() - start;
}

/** The packet's flow stands under the last of that many masks, other flows under those before. */
function install(bed: TestRun, frame: Uint8Array, masks: number): void {
  const packet = keyOfFrame(frame, INGRESS);
  if ('drop' in packet) throw new Error('the frame of the benchmark is no packet');
  for (let at = 1; at < masks; at++) bed.install(othersUnder(packet.key, at, Math.floor(OTHER_FLOWS / (masks - 1))));
  const mask = newKey();
  for (const name of ['port', 'ethernetDestination', 'etherType', 'destination'] as const) markField(mask, FIELD[name]);
  bed.install([{ key: maskedKey(packet.key, mask), mask, actions: [{ kind: 'output', port: EGRESS }] }]);
}

/** Flows of another port under one mask; `at` makes the mask like no other. */
function othersUnder(key: FlowKey, at: number, count: number): FlowEntry[] {
  const mask = newKey();
  markField(mask, FIELD.port);
  markField(mask, FIELD.destination);
  markPrefix(mask, FIELD.source.at, at, 6);
  return Array.from({ length: count }, (_, index) => {
    const other = key.slice();
    setU32(other, FIELD.port.at, ELSEWHERE);
    setIp(other, FIELD.destination.at, parseIp(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`)!);
    return { key: maskedKey(other, mask), mask, actions: [{ kind: 'output', port: ELSEWHERE }] };
  });
}
