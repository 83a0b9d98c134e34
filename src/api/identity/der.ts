// DER (X.690): the few types that a certificate is made of. Writes only.

const TAG = {
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** One element: tag, length (X.690 §8.1.3, definite form), content. */
function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(content);
  if (body.length < 0x80) return Buffer.concat([Uint8Array.of(tag, body.length), body]);
  const length: number[] = [];
  for (let left = body.length; left > 0; left = Math.floor(left / 256)) length.unshift(left % 256);
  return Buffer.concat([Uint8Array.of(tag, 0x80 | length.length, ...length), body]);
}

export const sequence = (...content: readonly Uint8Array[]): Uint8Array => element(TAG.sequence, ...content);
export const set = (...content: readonly Uint8Array[]): Uint8Array => element(TAG.set, ...content);
export const utf8 = (text: string): Uint8Array => element(TAG.utf8String, Buffer.from(text));
export const octets = (content: Uint8Array): Uint8Array => element(TAG.octetString, content);
/** A bit string of whole bytes. */
export const bits = (content: Uint8Array): Uint8Array => element(TAG.bitString, Uint8Array.of(0), content);
/** [n] of X.690 §8.1.2, context-specific; `constructed` when it wraps elements. */
export const tagged = (n: number, constructed: boolean, ...content: readonly Uint8Array[]): Uint8Array =>
  element((constructed ? 0xa0 : 0x80) | n, ...content);

/** A non-negative integer, big-endian; leading zeros go, and one comes where the first bit is set. */
export function integer(magnitude: Uint8Array): Uint8Array {
  let from = 0;
  while (from < magnitude.length - 1 && magnitude[from] === 0) from++;
  const body = magnitude.subarray(from);
  return (body[0] ?? 0) & 0x80 ? element(TAG.integer, Uint8Array.of(0), body) : element(TAG.integer, body);
}

/** Dotted text: `2.5.29.17`. The first two arcs share a byte (X.690 §8.19.4). */
export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const body: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const groups = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) groups.unshift((left & 0x7f) | 0x80);
    body.push(...groups);
  }
  return element(TAG.objectIdentifier, Uint8Array.from(body));
}

/** YYYYMMDDHHMMSSZ. */
export function time(at: Date): Uint8Array {
  const text = at.toISOString().replace(/[-:T]|\.\d+/g, '');
  return element(TAG.generalizedTime, Buffer.from(text));
}

export const TRUE = Uint8Array.of(0x01, 0x01, 0xff);
