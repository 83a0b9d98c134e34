// Values inside the options of DHCPv4, DHCPv6 and neighbour discovery: numbers, address lists, texts, and domain names as
// DNS writes them (RFC 1035 §3.1): DHCPv4 option 119 (RFC 3397, which allows compression), DHCPv6 option 24 (RFC 8415
// §10), DNSSL (RFC 8106 §5.2). Names are text without the last dot; each label has 1 to 63 bytes.

import { type Ip4, type Ip6, readIp4, readIp6, readU16, readU32, writeIp, writeU32 } from './address.ts';

const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;

/** How the bytes of an option become a value and back. */
export interface Form<T> {
  /** Undefined: the bytes are not of this form. */
  readonly read: (data: Uint8Array) => T | undefined;
  readonly write: (value: T) => Uint8Array;
}
export type FormValue<F> = F extends Form<infer T> ? T : never;

export const u8Form: Form<number> = {
  read: (data) => (data.length === 1 ? data[0]! : undefined),
  write: (value) => Uint8Array.of(value),
};
export const u16Form: Form<number> = {
  read: (data) => (data.length === 2 ? readU16(data, 0) : undefined),
  write: (value) => Uint8Array.of(value >>> 8, value),
};
export const u32Form: Form<number> = {
  read: (data) => (data.length === 4 ? readU32(data, 0) : undefined),
  write: (value) => {
    const data = new Uint8Array(4);
    writeU32(data, 0, value);
    return data;
  },
};
export const u16sForm: Form<readonly number[]> = {
  read: (data) => {
    if (data.length % 2 !== 0) return undefined;
    return Array.from({ length: data.length / 2 }, (_, index) => readU16(data, index * 2));
  },
  write: (value) => Uint8Array.from(value.flatMap((each) => [each >>> 8, each & 255])),
};
export const bytesForm: Form<Uint8Array> = { read: (data) => data, write: (value) => value };
/** An option that is there or not. */
export const emptyForm: Form<true> = {
  read: (data) => (data.length === 0 ? true : undefined),
  write: () => new Uint8Array(0),
};
/** Without the zeros that some senders put behind it. */
export const textForm: Form<string> = {
  read: (data) => {
    let end = data.length;
    while (end > 0 && data[end - 1] === 0) end--;
    return end > 0 ? new TextDecoder().decode(data.subarray(0, end)) : undefined;
  },
  write: (value) => new TextEncoder().encode(value),
};
export const ip4Form: Form<Ip4> = {
  read: (data) => (data.length === 4 ? readIp4(data, 0) : undefined),
  write: (value) => ip4sForm.write([value]),
};
/** At least one. */
export const ip4sForm: Form<readonly Ip4[]> = {
  read: (data) => {
    if (data.length === 0 || data.length % 4 !== 0) return undefined;
    return Array.from({ length: data.length / 4 }, (_, index) => readIp4(data, index * 4));
  },
  write: (value) => {
    const data = new Uint8Array(value.length * 4);
    value.forEach((address, index) => {
      writeIp(data, index * 4, address);
    });
    return data;
  },
};
/** At least one. */
export const ip6sForm: Form<readonly Ip6[]> = {
  read: (data) => {
    if (data.length === 0 || data.length % 16 !== 0) return undefined;
    return Array.from({ length: data.length / 16 }, (_, index) => readIp6(data, index * 16));
  },
  write: (value) => {
    const data = new Uint8Array(value.length * 16);
    value.forEach((address, index) => {
      writeIp(data, index * 16, address);
    });
    return data;
  },
};
/** At least one. */
export const domainsForm: Form<readonly string[]> = {
  read: (data) => {
    const names = parseDomains(data, 0, data.length);
    return names === undefined || names.length === 0 ? undefined : names;
  },
  write: (value) => emitDomains(value),
};

export function joinBytes(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The names in bytes [at, end), up to padding with zeros. Undefined when malformed. */
export function parseDomains(bytes: Uint8Array, at: number, end: number): string[] | undefined {
  const names: string[] = [];
  let next = at;
  while (next < end) {
    const parsed = parseName(bytes, next, at, end);
    if (parsed === undefined) return undefined;
    if (parsed.name === '') break;
    names.push(parsed.name);
    next = parsed.next;
  }
  return names;
}

/** Never compressed. Names that cannot be written (an empty or too long label, too long a name) are left out. */
export function emitDomains(names: readonly string[]): Uint8Array {
  const bytes: number[] = [];
  for (const name of names) {
    const labels = name.split('.').map((label) => new TextEncoder().encode(label));
    const nameBytes = labels.reduce((sum, label) => sum + label.length + 1, 1);
    const fits = labels.every((label) => label.length > 0 && label.length <= LABEL_BYTES_MAX);
    if (!fits || nameBytes > NAME_BYTES_MAX) continue;
    for (const label of labels) bytes.push(label.length, ...label);
    bytes.push(0);
  }
  return Uint8Array.from(bytes);
}

/** Pointers count from `start` and must point backwards, so that reading ends. */
function parseName(
  bytes: Uint8Array,
  at: number,
  start: number,
  end: number,
): { readonly name: string; readonly next: number } | undefined {
  const labels: string[] = [];
  let next: number | undefined;
  let barrier = at;
  let nameBytes = 1;
  for (let i = at; i < end; ) {
    const length = bytes[i]!;
    if (length === 0) return { name: labels.join('.'), next: next ?? i + 1 };
    if (length >= 0xc0) {
      if (i + 1 >= end) return undefined;
      const target = start + (((length & 0x3f) << 8) | bytes[i + 1]!);
      if (target >= barrier) return undefined;
      next ??= i + 2;
      barrier = target;
      i = target;
      continue;
    }
    nameBytes += length + 1;
    if (length > LABEL_BYTES_MAX || i + 1 + length > end || nameBytes > NAME_BYTES_MAX) return undefined;
    labels.push(new TextDecoder().decode(bytes.subarray(i + 1, i + 1 + length)));
    i += 1 + length;
  }
  return undefined;
}
