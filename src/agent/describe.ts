// Flows as text, for people: the fields that the mask looks at, and what is done.

import type { FlowEntry } from '../datapath/datapath.ts';
import type { Action } from '../flow/actions.ts';
import {
  etherTypeOf,
  FIELD,
  type FieldName,
  type FlowKey,
  type FlowMask,
  getIp,
  getMac,
  getU16,
  getU32,
} from '../flow/fields.ts';
import { DROP_NAMES, UP } from '../flow/reasons.ts';
import { formatIp, formatMac } from '../packet/address.ts';

const TEXT: readonly { readonly name: FieldName; readonly label: string; readonly text: (key: FlowKey) => string }[] = [
  { name: 'port', label: 'port', text: (key) => String(getU32(key, FIELD.port.at)) },
  { name: 'flood', label: 'flood', text: (key) => String(getU32(key, FIELD.flood.at)) },
  { name: 'ethernetSource', label: 'from', text: (key) => formatMac(getMac(key, FIELD.ethernetSource.at)) },
  { name: 'ethernetDestination', label: 'to', text: (key) => formatMac(getMac(key, FIELD.ethernetDestination.at)) },
  { name: 'vlan', label: 'vlan', text: (key) => String(getU16(key, FIELD.vlan.at) & 0xfff) },
  { name: 'innerVlan', label: 'inner vlan', text: (key) => String(getU16(key, FIELD.innerVlan.at) & 0xfff) },
  { name: 'etherType', label: 'type', text: (key) => `0x${etherTypeOf(key).toString(16).padStart(4, '0')}` },
  { name: 'protocol', label: 'protocol', text: (key) => String(key[FIELD.protocol.at]) },
  { name: 'trafficClass', label: 'class', text: (key) => String(key[FIELD.trafficClass.at]) },
  { name: 'fragment', label: 'fragment', text: (key) => String(key[FIELD.fragment.at]) },
  { name: 'tcpFlags', label: 'flags', text: (key) => `0x${key[FIELD.tcpFlags.at]!.toString(16)}` },
  { name: 'source', label: 'source', text: (key) => formatIp(getIp(key, FIELD.source.at)) },
  { name: 'destination', label: 'destination', text: (key) => formatIp(getIp(key, FIELD.destination.at)) },
  { name: 'sourcePort', label: 'source port', text: (key) => String(getU16(key, FIELD.sourcePort.at)) },
  { name: 'destinationPort', label: 'destination port', text: (key) => String(getU16(key, FIELD.destinationPort.at)) },
  { name: 'translatedSource', label: 'link address', text: (key) => formatMac(getMac(key, FIELD.translatedSource.at)) },
  {
    name: 'translatedDestination',
    label: 'target',
    text: (key) => formatIp(getIp(key, FIELD.translatedDestination.at)),
  },
];

/** `port 5, from 02:…, to 02:…, type 0x0800, source 10.0.0.1, …`; fields that are not looked at, or 0, are left out. */
export function describeClass({ key, mask }: Pick<FlowEntry, 'key' | 'mask'>): string {
  return TEXT.filter(({ name }) => isSet(key, mask, name))
    .map(({ name, label, text }) => `${label} ${text(key)}${prefixLength(mask, name)}`)
    .join(', ');
}

export function describeActions(actions: readonly Action[]): string {
  return actions.map(describeAction).join(', ');
}

function isSet(key: FlowKey, mask: FlowMask, name: FieldName): boolean {
  const { at, bytes } = FIELD[name];
  for (let byte = at; byte < at + bytes; byte++) if ((key[byte]! & mask[byte]!) !== 0) return true;
  return false;
}

/** `/24` where not all of an address is looked at. */
function prefixLength(mask: FlowMask, name: FieldName): string {
  if (name !== 'source' && name !== 'destination') return '';
  const { at, bytes } = FIELD[name];
  let bits = 0;
  for (let byte = at; byte < at + bytes; byte++) bits += mask[byte]!.toString(2).replaceAll('0', '').length;
  return bits === bytes * 8 ? '' : `/${bits}`;
}

function describeAction(action: Action): string {
  switch (action.kind) {
    case 'setEthernet':
      return `set from ${formatMac(action.source)} to ${formatMac(action.destination)}`;
    case 'checkLength':
      return `at most ${action.mtuBytes} bytes`;
    case 'decrementTtl':
      return `TTL − ${action.by}`;
    case 'pushVlan':
      return `push VLAN ${action.tci & 0xfff}`;
    case 'popVlan':
      return 'pop VLAN';
    case 'output':
      return `to port ${action.port}`;
    case 'flood':
      return `to flood ${action.flood}`;
    case 'answerNeighbour':
      return `answer with ${formatMac(action.mac)}`;
    case 'toAgent':
      return `to the agent (${Object.entries(UP).find(([, cause]) => cause === action.cause)?.[0]})`;
    case 'drop':
      return `drop (${DROP_NAMES[action.reason]})`;
    case 'count':
      return `count ${action.counter}`;
  }
}
