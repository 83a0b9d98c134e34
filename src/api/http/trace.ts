// POST /v1/trace: what would become of a frame that comes in at a port, by the same function that the agents run, on
// everything that this server knows.

import type { Hono } from 'hono';
import { formatAction, formatMatch, formatTags } from '../../flow/format.ts';
import { keyOfFrame } from '../../flow/key.ts';
import { DROP_NAMES, dropWords } from '../../flow/reasons.ts';
import { formatIp } from '../../packet/address.ts';
import type { Learned, Step } from '../../simulate/result.ts';
import { simulate } from '../../simulate/simulate.ts';
import { ApiError } from '../errors.ts';
import type { Parts } from '../parts.ts';
import { readFields } from './request.ts';

/** The longest frame that a virtual wire carries: an IP packet of 64 KiB with its tags. */
const FRAME_BYTES_MAX = 65_535 + 22;
const ETHERNET_BYTES = 14;

export function traceRoutes(app: Hono, { config, liveStatus }: Parts): void {
  const learned: Learned = {
    macPort: (bridgeId, vlan, mac) => liveStatus.macPort(bridgeId, vlan, mac),
    neighbour: (portId, ip) => liveStatus.neighbour(portId, ip),
  };

  app.post('/v1/trace', async (context) => {
    const { portId, frame: text } = await readFields(context, ['portId', 'frame']);
    const frame = frameOf(text);
    const { topology } = config;
    const port = typeof portId === 'string' ? topology.port(portId) : undefined;
    if (port === undefined) throw new ApiError('notFound', `there is no port ${String(portId)}`, '/portId');
    const read = keyOfFrame(frame, port.number);
    if (read.key === undefined) {
      return context.json({
        verdict: 'drop',
        why: dropWords(read.drop),
        reason: DROP_NAMES[read.drop],
        actions: [],
        mask: '',
        tags: [],
        steps: [],
        born: [],
      });
    }
    const steps: Step[] = [];
    const arrival = { key: read.key, frame, lengthBytes: Math.max(0, frame.length - ETHERNET_BYTES) };
    const result = simulate(arrival, topology, learned, { step: (step) => steps.push(step) });
    return context.json({
      revision: topology.revision,
      verdict: result.verdict,
      why: result.why,
      ...(result.verdict === 'drop' || result.verdict === 'reject' ? { reason: DROP_NAMES[result.reason] } : {}),
      actions: result.actions.map(formatAction),
      mask: formatMatch(read.key, result.mask),
      tags: formatTags(result.tags),
      cacheable: result.cacheable,
      needs: result.needs.map((need) => (need.kind === 'neighbour' ? { ...need, ip: formatIp(need.ip) } : need)),
      steps,
      born: result.born.map(({ to, frame: bytes }) => ({ to, frame: Buffer.from(bytes).toString('hex') })),
    });
  });
}

function frameOf(text: unknown): Uint8Array {
  if (typeof text !== 'string' || !/^([0-9a-f]{2})*$/i.test(text)) {
    throw new ApiError('malformed', 'frame is the bytes of an Ethernet frame in hexadecimal', '/frame');
  }
  if (text.length > FRAME_BYTES_MAX * 2) {
    throw new ApiError('tooLarge', `a frame is at most ${FRAME_BYTES_MAX} bytes long`, '/frame');
  }
  return new Uint8Array(Buffer.from(text, 'hex'));
}
