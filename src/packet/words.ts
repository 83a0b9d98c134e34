// Packets in words: what scenarios, `aya trace` and tests type. The result is a whole frame with right lengths and
// checksums. Words stand in the order of the layers; (source, destination) is the order everywhere. Numbers are decimal
// or 0x…; [ ] is optional; a word without arguments needs no parentheses.
//
//   eth(mac, mac [, type=N])                      type: when no word that follows says it
//   vlan(id [, priority=N] [, dei] [, qinq] [, type=N])   any number of them; qinq: TPID 0x88a8, else 0x8100
//   arp(request, senderMac, senderIp, targetIp)   arp(request|reply|N, senderMac, senderIp, targetMac, targetIp)
//   ip(ip, ip [, ttl=64] [, tos=0] [, id=0] [, df] [, more] [, offset=BYTES] [, frag=first|later] [, protocol=N]
//      [, options=HEX])
//   ip6(ip, ip [, hop=64] [, class=0] [, flow=0] [, frag=first|later|atomic] [, id=1] [, more] [, offset=BYTES]
//      [, protocol=N] [, ext=E+E+…])              E: hop-by-hop, routing, destination, authentication
//   tcp(port, port [, fin] [, syn] [, rst] [, psh] [, ack] [, urg] [, ece] [, cwr] [, seq=N] [, ack=N] [, window=N]
//      [, mss=N] [, flags=N])                     no flag at all: ack
//   udp(port, port)   sctp(port, port)   gre([key=N])
//   icmp(echo-request|echo-reply|unreachable|time-exceeded|…, [code=N] [, id=N] [, seq=N] [, mtu=N])   icmp(type=N, …)
//   icmp6(echo-request|echo-reply|unreachable|too-big|…, …)   as icmp
//   ns(target [, mac])   na(target [, mac] [, router] [, solicited] [, override])   rs(mac)
//   ra(mac [, lifetime=1800] [, prefix=P/N] [, mtu=N] [, managed] [, other])
//   dhcp(discover|request|decline|release|inform|offer|ack|nak, mac [, requestedIp] [, client=IP] [, yours=IP]
//      [, server=IP] [, xid=1] [, hostname=TEXT] [, broadcast])
//   dhcp6(solicit|request|renew|rebind|confirm|release|decline|information-request|advertise|reply, mac [, ip]
//      [, server=MAC] [, xid=1] [, rapid])        identifiers are made from the MACs (DUID-LL)
//   vxlan(vni)   geneve(vni)                      behind udp; a frame follows
//   bytes(N)   hex(HEX)                           payload: counting bytes, these bytes; `hex` alone is a whole frame
//   cut(N)   pad(N)                               last: the frame ends after N bytes, is filled up to N bytes
//
// arp, ns and na with a MAC, rs, ra, and dhcp and dhcp6 of a client bring the layers below them that are not written:
// the usual addresses, hop limit and ports. In a later fragment (frag=later is offset 1480) the word of the upper layer
// gives its protocol only; of what follows it, bytes(N) and hex(HEX) are there. Behind ns, na, rs and ra hex(HEX) is
// more options.

import { parsePacket } from './packet.ts';
import { Arguments, readWords, type Word, WordError } from './word/arguments.ts';
import type { Addresses, Kind, Rest } from './word/kind.ts';
import { KINDS, PAYLOAD_WORDS } from './word/layers.ts';

/** A frame, or what is wrong with which word. */
export function parseWords(text: string): Uint8Array | { readonly error: string } {
  return catching(() => frameOfWords(readWords(text)));
}

/**
 * The first fragment of the datagram that a later fragment, in these words, is of: the same words, at offset 0.
 * Undefined when they are no later fragment, or do not say what its upper layer is.
 */
export function parseFirstFragment(text: string): Uint8Array | undefined {
  const frame = catching(() => {
    const words = readWords(text);
    const at = words.findIndex(({ name }) => name === 'ip' || name === 'ip6');
    const upper = at < 0 ? undefined : words[at + 1];
    if (upper === undefined || !carriesPorts(upper) || !isLater(frameOfWords(words))) return undefined;
    const first = { ...words[at]!, args: [...words[at]!.args.filter((arg) => !PLACE.test(arg)), 'frag=first'] };
    return frameOfWords(words.with(at, first).filter(({ name }) => !WHOLE.has(name)));
  });
  return frame instanceof Uint8Array ? frame : undefined;
}

/** Where in its datagram a fragment is. */
const PLACE = /^(?:(?:frag|offset)\s*=|more$)/;

const isLater = (frame: Uint8Array): boolean => (parsePacket(frame)?.fragment?.offsetBytes ?? 0) > 0;
const carriesPorts = ({ name }: Word): boolean => Object.hasOwn(KINDS, name) && KINDS[name]!.protocol !== undefined;

function catching<T>(make: () => T): T | { readonly error: string } {
  try {
    return make();
  } catch (error) {
    if (error instanceof WordError) return { error: error.message };
    throw error;
  }
}

function frameOfWords(words: readonly Word[]): Uint8Array {
  const layers = words.filter((word) => !WHOLE.has(word.name));
  if (layers.length === 0) {
    throw new WordError({ text: 'no words' }, 'a frame begins with eth(source, destination)');
  }
  let frame = emitFrom(withLayersBelow(layers), 0);
  for (const word of words.slice(layers.length)) {
    const whole = WHOLE.get(word.name);
    if (whole === undefined) throw new WordError(word, 'only cut and pad may follow cut or pad');
    const args = new Arguments(word);
    frame = whole(frame, args.nextNumber('length', FRAME_BYTES_MAX));
    args.end();
  }
  return frame;
}

/** For tests and tables, whose words are right: throws otherwise. */
export function frameOf(text: string): Uint8Array {
  const frame = parseWords(text);
  if (frame instanceof Uint8Array) return frame;
  throw new Error(`${frame.error} (in: ${text})`);
}

const FRAME_BYTES_MAX = 65_600;

/** What is done to the finished frame. */
const WHOLE: ReadonlyMap<string, (frame: Uint8Array, length: number) => Uint8Array> = new Map([
  ['cut', (frame: Uint8Array, length: number) => frame.subarray(0, length)],
  ['pad', padded],
]);

function padded(frame: Uint8Array, length: number): Uint8Array {
  const longer = new Uint8Array(Math.max(frame.length, length));
  longer.set(frame);
  return longer;
}

/** Height of the layer that a word is; those that are not here begin a frame of their own, or carry anything. */
const LEVEL: ReadonlyMap<string, number> = new Map([
  ['eth', 1],
  ['vlan', 1],
  ['ip', 2],
  ['ip6', 2],
  ['udp', 3],
]);

/** Puts the layers that a word brings in front of it, as far as they are not written; checks the order. */
function withLayersBelow(words: readonly Word[]): Word[] {
  const all: Word[] = [];
  for (const word of words) {
    const kind = kindOf(word);
    const before = all.at(-1);
    const level = LEVEL.get(before?.name ?? '') ?? 0;
    const below = kind.below?.(new Arguments(word));
    if (below !== undefined) {
      if (level < 1) all.push(...readWords(below.eth));
      if (level < 2 && below.network !== undefined) all.push(...readWords(below.network));
      if (level < 3 && below.udp !== undefined) all.push(...readWords(below.udp));
    }
    const behind = all.at(-1)?.name ?? '';
    if (!kind.after.includes(behind) && !(PAYLOAD_WORDS.has(word.name) && behind !== '')) {
      const where = behind === '' ? 'a frame cannot begin with it' : `it cannot follow ${behind}`;
      throw new WordError(word, `${where}; it may follow ${kind.after.filter((name) => name !== '').join(', ')}`);
    }
    all.push(word);
  }
  return all;
}

function emitFrom(words: readonly Word[], index: number, below?: Addresses): Uint8Array {
  const word = words[index];
  if (word === undefined) return new Uint8Array(0);
  const args = new Arguments(word);
  const bytes = kindOf(word).emit(args, restOf(words, index + 1), below);
  args.end();
  return bytes;
}

function restOf(words: readonly Word[], index: number): Rest {
  const next = words[index];
  const kind = next === undefined ? undefined : kindOf(next);
  return {
    etherType: next === undefined ? undefined : kind?.etherType?.(new Arguments(next)),
    protocol: kind?.protocol,
    hopLimit: kind?.hopLimit,
    emit: (below) => emitFrom(words, index, below),
    emitData: (below) => {
      const whole = emitFrom(words, index, below);
      if (next === undefined || PAYLOAD_WORDS.has(next.name)) return whole;
      const behind = words[index + 1];
      return behind !== undefined && PAYLOAD_WORDS.has(behind.name) ? emitFrom(words, index + 1) : new Uint8Array(0);
    },
  };
}

function kindOf(word: Word): Kind {
  const kind = Object.hasOwn(KINDS, word.name) ? KINDS[word.name] : undefined;
  if (kind === undefined) throw new WordError(word, `there is no word "${word.name}"`);
  return kind;
}
