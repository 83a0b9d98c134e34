// Longest-prefix match over both families. A look-up also tells how many leading bits of the address it had to look
// at: every address that shares those bits gets the same answer. That number is what a flow mask needs.

/** uint32 for IPv4, 128-bit bigint for IPv6. */
export type Address = number | bigint;
export interface LpmPrefix {
  readonly ip: Address;
  readonly bits: number;
}

/** Immutable. Both families live side by side; an address only ever meets prefixes of its own. */
export interface Lpm<T> {
  /** The value of the longest prefix that holds the address. */
  lookup(ip: Address): { readonly value: T | undefined; readonly bits: number };
  /** The values of all prefixes that hold the address, longest first. */
  matches(ip: Address): { readonly values: readonly T[]; readonly bits: number };
  entries(): Iterable<readonly [LpmPrefix, T]>;
  readonly size: number;
}
