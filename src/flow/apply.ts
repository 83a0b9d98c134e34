// What the steps of a flow do to one packet: the twin of the action loop in bpf/. The memory data path runs it, the
// agent for packets that no flow may carry, and scenarios.
//
// A decremented TTL is written late, before the next change or output, so that a packet which goes up as an exception
// goes up as it came in. A step that cannot be carried out, `toAgent`, `drop` and `answerNeighbour` end the list.

import { type Mac, writeMac, writeU16 } from '../packet/address.ts';
import { updateChecksum } from '../packet/checksum.ts';
import { ETHER_TYPE, isTagType, networkOffset, TAG_BYTES } from '../packet/ethernet.ts';
import { lengthAtMtu } from '../packet/length.ts';
import type { Action } from './actions.ts';
import { etherTypeOf, type FlowKey, floodOf, getU16, newKey } from './fields.ts';
import { keyOfFrame } from './key.ts';
import { neighbourAnswer } from './neighbour-answer.ts';
import { DROP, type DropReason, UP, type UpCause } from './reasons.ts';

export type Output =
  | { readonly kind: 'output'; readonly port: number; readonly frame: Uint8Array }
  | { readonly kind: 'flood'; readonly flood: number; readonly frame: Uint8Array }
  /** Back out of the ingress port. */
  | { readonly kind: 'answer'; readonly frame: Uint8Array }
  /** `detail`: for `tooLong` the MTU. */
  | { readonly kind: 'up'; readonly cause: UpCause; readonly detail: number; readonly frame: Uint8Array }
  | { readonly kind: 'drop'; readonly reason: DropReason; readonly frame: Uint8Array };

export interface Outcome {
  /** In order. Frames may share memory with each other and with the input: nobody writes into them. */
  readonly outputs: readonly Output[];
  /** Counters of `count` steps that were reached. */
  readonly counts: readonly number[];
}

const TYPE_AT = 12;
const IP4_TTL_AT = 8;
const IP4_CHECKSUM_AT = 10;
const IP6_HOP_LIMIT_AT = 7;

/**
 * `key` is the full key of the frame, as far as the caller has it: only answers and floods look at it. `segmentBytes` is the L3 length that counts against an MTU, when it is not that of
 * the frame: of a GSO super-packet that of its segments. A list that puts nothing out drops by policy.
 */
export function applyActions(
  actions: readonly Action[],
  frame: Uint8Array,
  key: FlowKey = keyOf(frame),
  segmentBytes?: number,
): Outcome {
  const outputs: Output[] = [];
  const counts: number[] = [];
  let current = frame;
  let ttlBy = 0;
  const end = (last: Output): Outcome => ({ outputs: [...outputs, last], counts });
  const settle = (): Uint8Array => {
    if (ttlBy > 0) current = withTtl(current, ttlBy);
    ttlBy = 0;
    return current;
  };
  for (const action of actions) {
    switch (action.kind) {
      case 'count':
        counts.push(action.counter);
        break;
      case 'checkLength':
        if ((segmentBytes ?? lengthAtMtu(current)) > action.mtuBytes) {
          return end({ kind: 'up', cause: UP.tooLong, detail: action.mtuBytes, frame: current });
        }
        break;
      case 'decrementTtl': {
        const ttl = ttlOf(current);
        if (ttl !== undefined && ttl <= ttlBy + action.by) {
          return end({ kind: 'up', cause: UP.ttl, detail: 0, frame: current });
        }
        if (ttl !== undefined) ttlBy += action.by;
        break;
      }
      case 'setEthernet':
        current = settle().slice();
        writeMac(current, 0, action.destination);
        writeMac(current, 6, action.source);
        break;
      case 'pushVlan':
        current = pushTag(settle(), action.tpid, action.tci);
        break;
      case 'popVlan':
        current = popTag(settle());
        break;
      case 'output':
        outputs.push({ kind: 'output', port: action.port, frame: settle() });
        break;
      case 'flood':
        // The walk for a member ends at that member: a flood in it would go round.
        if (floodOf(key) !== 0) return end({ kind: 'drop', reason: DROP.hopLimit, frame: current });
        outputs.push({ kind: 'flood', flood: action.flood, frame: settle() });
        break;
      case 'answerNeighbour': {
        const answer = answerOf(settle(), key, action.mac, action.router);
        return end(
          answer === undefined
            ? { kind: 'drop', reason: DROP.localOnly, frame: current }
            : { kind: 'answer', frame: answer },
        );
      }
      case 'toAgent':
        return end({ kind: 'up', cause: action.cause, detail: 0, frame: settle() });
      case 'drop':
        return end({ kind: 'drop', reason: action.reason, frame: current });
      default:
        return action satisfies never;
    }
  }
  return outputs.length === 0 ? end({ kind: 'drop', reason: DROP.policy, frame }) : { outputs, counts };
}

const keyOf = (frame: Uint8Array): FlowKey => keyOfFrame(frame, 0).key ?? newKey();

/** TTL or hop limit; undefined when it is no IP packet. */
function ttlOf(frame: Uint8Array): number | undefined {
  const l3At = networkOffset(frame);
  const type = getU16(frame, l3At - 2);
  if (type === ETHER_TYPE.ip4) return frame[l3At + IP4_TTL_AT]!;
  return type === ETHER_TYPE.ip6 ? frame[l3At + IP6_HOP_LIMIT_AT]! : undefined;
}

/** The caller has checked that the TTL is larger. */
function withTtl(frame: Uint8Array, by: number): Uint8Array {
  const changed = frame.slice();
  const l3At = networkOffset(frame);
  if (getU16(frame, l3At - 2) === ETHER_TYPE.ip6) {
    changed[l3At + IP6_HOP_LIMIT_AT] = frame[l3At + IP6_HOP_LIMIT_AT]! - by;
    return changed;
  }
  changed[l3At + IP4_TTL_AT] = frame[l3At + IP4_TTL_AT]! - by;
  // TTL and protocol are one word of the checksum.
  const checksum = getU16(frame, l3At + IP4_CHECKSUM_AT);
  const [before, after] = [getU16(frame, l3At + IP4_TTL_AT), getU16(changed, l3At + IP4_TTL_AT)];
  writeU16(changed, l3At + IP4_CHECKSUM_AT, updateChecksum(checksum, before, after));
  return changed;
}

function pushTag(frame: Uint8Array, tpid: number, tci: number): Uint8Array {
  const tagged = new Uint8Array(frame.length + TAG_BYTES);
  tagged.set(frame.subarray(0, TYPE_AT));
  writeU16(tagged, TYPE_AT, tpid);
  writeU16(tagged, TYPE_AT + 2, tci);
  tagged.set(frame.subarray(TYPE_AT), TYPE_AT + TAG_BYTES);
  return tagged;
}

/** A frame without a tag stays as it is. */
function popTag(frame: Uint8Array): Uint8Array {
  if (!isTagType(getU16(frame, TYPE_AT))) return frame;
  const bare = new Uint8Array(frame.length - TAG_BYTES);
  bare.set(frame.subarray(0, TYPE_AT));
  bare.set(frame.subarray(TYPE_AT + TAG_BYTES), TYPE_AT);
  return bare;
}

/** The answer to a request, in the tags of the request and, for ARP, of its length. Undefined: it is no request. */
function answerOf(request: Uint8Array, key: FlowKey, mac: Mac, router: boolean): Uint8Array | undefined {
  const answer = neighbourAnswer(key, mac, router);
  if (answer === undefined) return undefined;
  const l3At = networkOffset(request);
  const isArp = etherTypeOf(key) === ETHER_TYPE.arp;
  const frame = new Uint8Array(isArp ? request.length : l3At + answer.packet.length);
  frame.set(isArp ? request : request.subarray(0, l3At));
  writeMac(frame, 0, answer.destination);
  writeMac(frame, 6, mac);
  frame.set(answer.packet, l3At);
  return frame;
}
