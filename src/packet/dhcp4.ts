// DHCP for IPv4 (RFC 2131): the message without UDP. Options of RFC 2132, 3046 (82), 3397 (119), 3442 (121) as one table;
// long ones are joined and split (RFC 3396), options in the name and file fields are read (RFC 2132 §9.3).
//
//   0    1       2      3      4     8      10      12      16      20      24      28       44    108   236     240
//   | op | htype | hlen | hops | xid | secs | flags | ciaddr | yiaddr | siaddr | giaddr | chaddr | sname | file | cookie |

import {
  formatIp4,
  formatMac,
  type Ip4,
  type Mac,
  readIp4,
  readMac,
  readU16,
  readU32,
  writeIp,
  writeMac,
  writeU16,
  writeU32,
} from './address.ts';
import {
  bytesForm,
  domainsForm,
  emptyForm,
  type Form,
  type FormValue,
  ip4Form,
  ip4sForm,
  joinBytes,
  textForm,
  u8Form,
  u16Form,
  u32Form,
} from './option.ts';

export const DHCP4 = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;
export type Dhcp4MessageName = keyof typeof DHCP4;
export const DHCP4_OP = { request: 1, reply: 2 } as const;

const SECONDS_AT = 8;
const FLAGS_AT = 10;
const CLIENT_AT = 12;
const YOUR_AT = 16;
const NEXT_SERVER_AT = 20;
const RELAY_AT = 24;
const HARDWARE_AT = 28;
const NAME_AT = 44;
const FILE_AT = 108;
const COOKIE_AT = 236;
const OPTIONS_AT = 240;
const COOKIE = 0x63825363;
const BROADCAST_FLAG = 0x8000;
/** BOOTP clients may refuse shorter messages (RFC 1542 §2.1). */
const MESSAGE_BYTES_MIN = 300;

const PAD = 0;
const OVERLOAD = 52;
const END = 255;

export interface Dhcp4Message {
  /** 1: from a client, 2: from a server. */
  readonly op: number;
  readonly transactionId: number;
  readonly seconds: number;
  /** The client cannot take unicast yet. */
  readonly broadcast: boolean;
  /** ciaddr: the client has it already; else 0. */
  readonly clientAddress: Ip4;
  /** yiaddr: what the client gets. */
  readonly yourAddress: Ip4;
  /** siaddr: to boot from. */
  readonly nextServer: Ip4;
  readonly relayAgent: Ip4;
  readonly clientMac: Mac;
  readonly options: Dhcp4Options;
  /** Options that the table does not know, or of a wrong length. When emitted they win over those of the table. */
  readonly rawOptions: readonly Dhcp4RawOption[];
}
export interface Dhcp4RawOption {
  readonly code: number;
  readonly data: Uint8Array;
}
export interface Dhcp4Route {
  readonly destination: Ip4;
  readonly bits: number;
  readonly gateway: Ip4;
}

const routes: Form<readonly Dhcp4Route[]> = { read: readRoutes, write: writeRoutes };

/** What the codec knows, in the order in which it is emitted. */
const OPTIONS = {
  messageType: { code: 53, form: u8Form },
  serverId: { code: 54, form: ip4Form },
  leaseSeconds: { code: 51, form: u32Form },
  renewSeconds: { code: 58, form: u32Form },
  rebindSeconds: { code: 59, form: u32Form },
  requestedAddress: { code: 50, form: ip4Form },
  subnetMask: { code: 1, form: ip4Form },
  /** Before routers: a client that takes it ignores them (RFC 3442). */
  classlessRoutes: { code: 121, form: routes },
  routers: { code: 3, form: ip4sForm },
  dnsServers: { code: 6, form: ip4sForm },
  hostname: { code: 12, form: textForm },
  domainName: { code: 15, form: textForm },
  domainSearch: { code: 119, form: domainsForm },
  mtuBytes: { code: 26, form: u16Form },
  broadcastAddress: { code: 28, form: ip4Form },
  ntpServers: { code: 42, form: ip4sForm },
  parameterRequestList: { code: 55, form: bytesForm },
  message: { code: 56, form: textForm },
  maxMessageBytes: { code: 57, form: u16Form },
  vendorClass: { code: 60, form: bytesForm },
  clientId: { code: 61, form: bytesForm },
  bootServerName: { code: 66, form: textForm },
  bootFileName: { code: 67, form: textForm },
  rapidCommit: { code: 80, form: emptyForm },
  /** Sub-options of relay agents; a server returns them as they came. */
  relayAgentInformation: { code: 82, form: bytesForm },
} as const;
export type Dhcp4OptionName = keyof typeof OPTIONS;
export type Dhcp4Options = { readonly [Name in Dhcp4OptionName]?: FormValue<(typeof OPTIONS)[Name]['form']> };

const NAMES = Object.keys(OPTIONS) as Dhcp4OptionName[];
const NAME_BY_CODE: ReadonlyMap<number, Dhcp4OptionName> = new Map(NAMES.map((name) => [OPTIONS[name].code, name]));

/** The option's code: what a client's parameter request list holds. */
export const dhcp4OptionCode = (name: Dhcp4OptionName): number => OPTIONS[name].code;

/** Only Ethernet clients and messages with the DHCP cookie; BOOTP without it is not parsed. */
export function parseDhcp4(packet: Uint8Array, at: number, end: number): Dhcp4Message | undefined {
  if (end - at < OPTIONS_AT || readU32(packet, at + COOKIE_AT) !== COOKIE) return undefined;
  const op = packet[at]!;
  if (op !== DHCP4_OP.request && op !== DHCP4_OP.reply) return undefined;
  if (packet[at + 1] !== 1 || packet[at + 2] !== 6) return undefined;
  const found = new Map<number, Uint8Array[]>();
  collectOptions(packet, at + OPTIONS_AT, end, found);
  const overload = found.get(OVERLOAD)?.[0]?.[0] ?? 0;
  if ((overload & 1) !== 0) collectOptions(packet, at + FILE_AT, at + COOKIE_AT, found);
  if ((overload & 2) !== 0) collectOptions(packet, at + NAME_AT, at + FILE_AT, found);
  found.delete(OVERLOAD);
  const options: Record<string, unknown> = {};
  const rawOptions: Dhcp4RawOption[] = [];
  for (const [code, parts] of found) {
    const data = parts.length === 1 ? parts[0]! : joinBytes(parts);
    const name = NAME_BY_CODE.get(code);
    const value = name === undefined ? undefined : OPTIONS[name].form.read(data);
    if (name === undefined || value === undefined) rawOptions.push({ code, data });
    else options[name] = value;
  }
  return {
    op,
    transactionId: readU32(packet, at + 4),
    seconds: readU16(packet, at + SECONDS_AT),
    broadcast: (readU16(packet, at + FLAGS_AT) & BROADCAST_FLAG) !== 0,
    clientAddress: readIp4(packet, at + CLIENT_AT),
    yourAddress: readIp4(packet, at + YOUR_AT),
    nextServer: readIp4(packet, at + NEXT_SERVER_AT),
    relayAgent: readIp4(packet, at + RELAY_AT),
    clientMac: readMac(packet, at + HARDWARE_AT),
    options,
    rawOptions,
  };
}

/** The UDP payload, at least 300 bytes long. Raw options with a code that is none (0, 255 and above) are left out. */
export function emitDhcp4(message: Dhcp4Message): Uint8Array {
  const parts: Uint8Array[] = [];
  const raw = new Set(message.rawOptions.map((option) => option.code));
  for (const name of NAMES) {
    const { code, form } = OPTIONS[name];
    const value = message.options[name];
    if (value === undefined || raw.has(code)) continue;
    splitOption(code, (form as Form<typeof value>).write(value), parts);
  }
  for (const option of message.rawOptions) {
    if (option.code > PAD && option.code < END) splitOption(option.code, option.data, parts);
  }
  parts.push(Uint8Array.of(END));
  const length = parts.reduce((sum, part) => sum + part.length, OPTIONS_AT);
  const packet = new Uint8Array(Math.max(length, MESSAGE_BYTES_MIN));
  packet[0] = message.op;
  packet[1] = 1;
  packet[2] = 6;
  writeU32(packet, 4, message.transactionId);
  writeU16(packet, SECONDS_AT, message.seconds);
  writeU16(packet, FLAGS_AT, message.broadcast ? BROADCAST_FLAG : 0);
  writeIp(packet, CLIENT_AT, message.clientAddress);
  writeIp(packet, YOUR_AT, message.yourAddress);
  writeIp(packet, NEXT_SERVER_AT, message.nextServer);
  writeIp(packet, RELAY_AT, message.relayAgent);
  writeMac(packet, HARDWARE_AT, message.clientMac);
  writeU32(packet, COOKIE_AT, COOKIE);
  let at = OPTIONS_AT;
  for (const part of parts) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

/** `dhcp offer 02:00:00:00:00:01 yours 10.0.0.5 server 10.0.0.1`. */
export function formatDhcp4(message: Dhcp4Message): string {
  const { options } = message;
  const words = ['dhcp', messageWord(options.messageType), formatMac(message.clientMac)];
  if (message.clientAddress !== 0) words.push(`client ${formatIp4(message.clientAddress)}`);
  if (options.requestedAddress !== undefined) words.push(`requested ${formatIp4(options.requestedAddress)}`);
  if (message.yourAddress !== 0) words.push(`yours ${formatIp4(message.yourAddress)}`);
  if (options.serverId !== undefined) words.push(`server ${formatIp4(options.serverId)}`);
  return words.join(' ');
}

function messageWord(type: number | undefined): string {
  const names = Object.keys(DHCP4) as Dhcp4MessageName[];
  return names.find((name) => DHCP4[name] === type) ?? `type ${type ?? 'none'}`;
}

/** Adds the options in [at, end) to what was found; the parts of one code belong together (RFC 3396). */
function collectOptions(packet: Uint8Array, at: number, end: number, found: Map<number, Uint8Array[]>): void {
  for (let next = at; next < end; ) {
    const code = packet[next]!;
    if (code === END) return;
    if (code === PAD) {
      next += 1;
      continue;
    }
    const dataEnd = next + 2 + (packet[next + 1] ?? 0);
    if (next + 2 > end || dataEnd > end) return;
    const data = packet.subarray(next + 2, dataEnd);
    const parts = found.get(code);
    if (parts === undefined) found.set(code, [data]);
    else parts.push(data);
    next = dataEnd;
  }
}

function splitOption(code: number, data: Uint8Array, parts: Uint8Array[]): void {
  let at = 0;
  do {
    const piece = data.subarray(at, at + 255);
    const part = new Uint8Array(2 + piece.length);
    part[0] = code;
    part[1] = piece.length;
    part.set(piece, 2);
    parts.push(part);
    at += 255;
  } while (at < data.length);
}

/** RFC 3442: prefix length, the bytes of the prefix that matter, gateway. */
function readRoutes(data: Uint8Array): Dhcp4Route[] | undefined {
  const found: Dhcp4Route[] = [];
  for (let at = 0; at < data.length; ) {
    const bits = data[at]!;
    const prefixBytes = Math.ceil(bits / 8);
    const next = at + 1 + prefixBytes + 4;
    if (bits > 32 || next > data.length) return undefined;
    const prefix = new Uint8Array(4);
    prefix.set(data.subarray(at + 1, at + 1 + prefixBytes));
    found.push({ destination: readIp4(prefix, 0), bits, gateway: readIp4(data, next - 4) });
    at = next;
  }
  return found.length > 0 ? found : undefined;
}

function writeRoutes(value: readonly Dhcp4Route[]): Uint8Array {
  const data: number[] = [];
  const four = new Uint8Array(4);
  for (const route of value) {
    writeIp(four, 0, route.destination);
    data.push(route.bits, ...four.subarray(0, Math.ceil(route.bits / 8)));
    writeIp(four, 0, route.gateway);
    data.push(...four);
  }
  return Uint8Array.from(data);
}
