// ARP for IPv4 over Ethernet (RFC 826, RFC 5227). Other hardware or protocol types are not parsed.
//
//   0        2        4    5    6      8       14      18      24      28
//   | hw = 1 | 0x0800 | 6  | 4  | oper | s.MAC | s.IP  | t.MAC | t.IP  |

import {
  formatIp4,
  formatMac,
  type Ip4,
  type Mac,
  readIp4,
  readMac,
  readU16,
  writeIp,
  writeMac,
  writeU16,
} from './address.ts';
import { ETHER_TYPE } from './ethernet.ts';

export const ARP_BYTES = 28;
export const ARP = { request: 1, reply: 2 } as const;

const OPERATION_AT = 6;
const SENDER_MAC_AT = 8;
const SENDER_IP_AT = 14;
const TARGET_MAC_AT = 18;
const TARGET_IP_AT = 24;

export interface ArpHeader {
  /** 1 request, 2 reply. */
  readonly operation: number;
  readonly senderMac: Mac;
  readonly senderIp: Ip4;
  /** Without meaning in a request. */
  readonly targetMac: Mac;
  readonly targetIp: Ip4;
}

export function parseArp(bytes: Uint8Array, at: number, end: number): ArpHeader | undefined {
  if (end - at < ARP_BYTES) return undefined;
  if (readU16(bytes, at) !== 1 || readU16(bytes, at + 2) !== ETHER_TYPE.ip4) return undefined;
  if (bytes[at + 4] !== 6 || bytes[at + 5] !== 4) return undefined;
  return {
    operation: readU16(bytes, at + OPERATION_AT),
    senderMac: readMac(bytes, at + SENDER_MAC_AT),
    senderIp: readIp4(bytes, at + SENDER_IP_AT),
    targetMac: readMac(bytes, at + TARGET_MAC_AT),
    targetIp: readIp4(bytes, at + TARGET_IP_AT),
  };
}

export function emitArp(header: ArpHeader): Uint8Array {
  const bytes = new Uint8Array(ARP_BYTES);
  writeU16(bytes, 0, 1);
  writeU16(bytes, 2, ETHER_TYPE.ip4);
  bytes[4] = 6;
  bytes[5] = 4;
  writeU16(bytes, OPERATION_AT, header.operation);
  writeMac(bytes, SENDER_MAC_AT, header.senderMac);
  writeIp(bytes, SENDER_IP_AT, header.senderIp);
  writeMac(bytes, TARGET_MAC_AT, header.targetMac);
  writeIp(bytes, TARGET_IP_AT, header.targetIp);
  return bytes;
}

export function formatArp(header: ArpHeader): string {
  const sender = formatIp4(header.senderIp);
  if (header.operation === ARP.request) return `arp who-has ${formatIp4(header.targetIp)} tell ${sender}`;
  if (header.operation === ARP.reply) return `arp reply ${sender} is-at ${formatMac(header.senderMac)}`;
  return `arp operation ${header.operation} ${sender} > ${formatIp4(header.targetIp)}`;
}
