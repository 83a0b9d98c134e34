// DHCP for IPv6 (RFC 8415): messages between client and server, without UDP; relay messages are not parsed. DNS of
// RFC 3646, SNTP servers of RFC 4075.
//
//   0      1                 4
//   | type | transaction id  | options: code (2), length (2), data … |

import { formatIp6, type Ip6, readIp6, readU16, readU32, writeU16, writeU32 } from './address.ts';
import {
  bytesForm,
  domainsForm,
  emptyForm,
  type Form,
  type FormValue,
  ip6sForm,
  joinBytes,
  u8Form,
  u16Form,
  u16sForm,
  u32Form,
} from './option.ts';

export const DHCP6 = {
  solicit: 1,
  advertise: 2,
  request: 3,
  confirm: 4,
  renew: 5,
  rebind: 6,
  reply: 7,
  release: 8,
  decline: 9,
  'information-request': 11,
} as const;
export type Dhcp6MessageName = keyof typeof DHCP6;
export const DHCP6_STATUS = { success: 0, noAddresses: 2, noBinding: 3, notOnLink: 4, useMulticast: 5 } as const;

const RELAY_FORWARD = 12;
const RELAY_REPLY = 13;
const HEADER_BYTES = 4;
const IA_BYTES = 12;
const IA_ADDRESS_BYTES = 24;

export interface Dhcp6Message {
  /** Of DHCP6. */
  readonly messageType: number;
  /** 24 bits. */
  readonly transactionId: number;
  readonly options: Dhcp6Options;
  /** Options that the table does not know, or malformed ones. When emitted they win over those of the table. */
  readonly rawOptions: readonly Dhcp6RawOption[];
}
export interface Dhcp6RawOption {
  readonly code: number;
  readonly data: Uint8Array;
}
/** Identity association for addresses; what it holds beside addresses and a status is not kept. */
export interface Dhcp6Association {
  readonly iaid: number;
  /** T1: when to ask the same server again; 0: the client chooses. */
  readonly renewSeconds: number;
  /** T2: when to ask any server. */
  readonly rebindSeconds: number;
  readonly addresses: readonly Dhcp6Address[];
  readonly status?: Dhcp6Status;
}
export interface Dhcp6Address {
  readonly address: Ip6;
  readonly preferredSeconds: number;
  /** 0: no longer to be used. */
  readonly validSeconds: number;
  readonly status?: Dhcp6Status;
}
export interface Dhcp6Status {
  /** Of DHCP6_STATUS. */
  readonly code: number;
  readonly message: string;
}

const status: Form<Dhcp6Status> = {
  read: (data) => {
    if (data.length < 2) return undefined;
    return { code: readU16(data, 0), message: new TextDecoder().decode(data.subarray(2)) };
  },
  write: (value) => joinBytes([u16Form.write(value.code), new TextEncoder().encode(value.message)]),
};

/** What the codec knows, in the order in which it is emitted. Associations may be several: they are apart. */
const OPTIONS = {
  clientId: { code: 1, form: bytesForm },
  serverId: { code: 2, form: bytesForm },
  preference: { code: 7, form: u8Form },
  optionRequest: { code: 6, form: u16sForm },
  /** In hundredths of a second. */
  elapsedTime: { code: 8, form: u16Form },
  status: { code: 13, form: status },
  rapidCommit: { code: 14, form: emptyForm },
  dnsServers: { code: 23, form: ip6sForm },
  domainSearch: { code: 24, form: domainsForm },
  sntpServers: { code: 31, form: ip6sForm },
  /** When to ask again for what has no lifetime (RFC 8415 §21.23). */
  refreshSeconds: { code: 32, form: u32Form },
} as const;
const IA_NA = 3;
const IA_ADDRESS = 5;
const STATUS = OPTIONS.status.code;

export type Dhcp6OptionName = keyof typeof OPTIONS;
export type Dhcp6Options = {
  readonly [Name in Dhcp6OptionName]?: FormValue<(typeof OPTIONS)[Name]['form']>;
} & { readonly associations?: readonly Dhcp6Association[] };

const NAMES = Object.keys(OPTIONS) as Dhcp6OptionName[];
const NAME_BY_CODE: ReadonlyMap<number, Dhcp6OptionName> = new Map(NAMES.map((name) => [OPTIONS[name].code, name]));

/** The option's code: what an option request holds. */
export const dhcp6OptionCode = (name: Dhcp6OptionName): number => OPTIONS[name].code;

export function parseDhcp6(packet: Uint8Array, at: number, end: number): Dhcp6Message | undefined {
  if (end - at < HEADER_BYTES) return undefined;
  const messageType = packet[at]!;
  if (messageType === RELAY_FORWARD || messageType === RELAY_REPLY) return undefined;
  const found = listOptions(packet.subarray(at + HEADER_BYTES, end));
  if (found === undefined) return undefined;
  const options: Record<string, unknown> = {};
  const associations: Dhcp6Association[] = [];
  const rawOptions: Dhcp6RawOption[] = [];
  for (const option of found) {
    const association = option.code === IA_NA ? readAssociation(option.data) : undefined;
    const name = NAME_BY_CODE.get(option.code);
    const value = name === undefined ? undefined : OPTIONS[name].form.read(option.data);
    if (association !== undefined) associations.push(association);
    else if (name === undefined || value === undefined || name in options) rawOptions.push(option);
    else options[name] = value;
  }
  if (associations.length > 0) options.associations = associations;
  return { messageType, transactionId: readU32(packet, at) & 0xffffff, options, rawOptions };
}

/** The UDP payload. */
export function emitDhcp6(message: Dhcp6Message): Uint8Array {
  const raw = new Set(message.rawOptions.map((option) => option.code));
  const parts: Uint8Array[] = [words([message.messageType * 2 ** 24 + message.transactionId])];
  for (const name of NAMES) {
    const { code, form } = OPTIONS[name];
    const value = message.options[name];
    if (value === undefined || raw.has(code)) continue;
    parts.push(option(code, (form as Form<typeof value>).write(value)));
  }
  for (const association of message.options.associations ?? [])
    parts.push(option(IA_NA, writeAssociation(association)));
  for (const { code, data } of message.rawOptions) parts.push(option(code, data));
  return joinBytes(parts);
}

/** `dhcp6 reply fd00::5`. */
export function formatDhcp6(message: Dhcp6Message): string {
  const names = Object.keys(DHCP6) as Dhcp6MessageName[];
  const name = names.find((each) => DHCP6[each] === message.messageType) ?? `type ${message.messageType}`;
  const addresses = (message.options.associations ?? []).flatMap((each) =>
    each.addresses.map((one) => ` ${formatIp6(one.address)}`),
  );
  const { status: said } = message.options;
  return `dhcp6 ${name}${addresses.join('')}${said === undefined ? '' : ` status ${said.code} ${said.message}`.trimEnd()}`;
}

function readAssociation(data: Uint8Array): Dhcp6Association | undefined {
  if (data.length < IA_BYTES) return undefined;
  const inner = listOptions(data.subarray(IA_BYTES));
  if (inner === undefined) return undefined;
  const addresses: Dhcp6Address[] = [];
  for (const each of inner) {
    if (each.code !== IA_ADDRESS) continue;
    const address = readAddress(each.data);
    if (address === undefined) return undefined;
    addresses.push(address);
  }
  return {
    iaid: readU32(data, 0),
    renewSeconds: readU32(data, 4),
    rebindSeconds: readU32(data, 8),
    addresses,
    ...statusIn(inner),
  };
}

function readAddress(data: Uint8Array): Dhcp6Address | undefined {
  if (data.length < IA_ADDRESS_BYTES) return undefined;
  const inner = listOptions(data.subarray(IA_ADDRESS_BYTES));
  if (inner === undefined) return undefined;
  return {
    address: readIp6(data, 0),
    preferredSeconds: readU32(data, 16),
    validSeconds: readU32(data, 20),
    ...statusIn(inner),
  };
}

function statusIn(options: readonly Dhcp6RawOption[]): { readonly status?: Dhcp6Status } {
  const found = options.find((each) => each.code === STATUS);
  const value = found === undefined ? undefined : status.read(found.data);
  return value === undefined ? {} : { status: value };
}

function writeAssociation(association: Dhcp6Association): Uint8Array {
  const parts = [words([association.iaid, association.renewSeconds, association.rebindSeconds])];
  for (const each of association.addresses) {
    const data = [ip6sForm.write([each.address]), words([each.preferredSeconds, each.validSeconds])];
    if (each.status !== undefined) data.push(option(STATUS, status.write(each.status)));
    parts.push(option(IA_ADDRESS, joinBytes(data)));
  }
  if (association.status !== undefined) parts.push(option(STATUS, status.write(association.status)));
  return joinBytes(parts);
}

/** Undefined when one is cut off. */
function listOptions(data: Uint8Array): Dhcp6RawOption[] | undefined {
  const options: Dhcp6RawOption[] = [];
  for (let at = 0; at < data.length; ) {
    if (data.length - at < 4) return undefined;
    const end = at + 4 + readU16(data, at + 2);
    if (end > data.length) return undefined;
    options.push({ code: readU16(data, at), data: data.subarray(at + 4, end) });
    at = end;
  }
  return options;
}

function option(code: number, data: Uint8Array): Uint8Array {
  const part = new Uint8Array(4 + data.length);
  writeU16(part, 0, code);
  writeU16(part, 2, data.length);
  part.set(data, 4);
  return part;
}

function words(values: readonly number[]): Uint8Array {
  const data = new Uint8Array(values.length * 4);
  values.forEach((value, index) => {
    writeU32(data, index * 4, value);
  });
  return data;
}
