// Domain names as DNS writes them (RFC 1035 §3.1), in lists: DHCPv4 option 119 (RFC 3397, which allows compression),
// DHCPv6 option 24 (RFC 8415 §10) and the DNSSL option of router advertisements (RFC 8106 §5.2).
// Names are text without the last dot; each label has 1 to 63 bytes.

const LABEL_BYTES_MAX = 63;
const NAME_BYTES_MAX = 255;

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
