import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  ETHER_TYPE,
  FIELD,
  type FieldName,
  type FlowKey,
  type FlowMask,
  markField,
  markPrefix,
  maskCovers,
  newKey,
  PROTOCOL,
  setU16,
  setU32,
} from './fields.ts';
import { type LiveMask, MASKS_MAX, MaskBook } from './masks.ts';

interface Look {
  readonly type: number;
  readonly protocol?: number;
  readonly source?: number;
  readonly destination?: number;
  readonly fields?: readonly FieldName[];
  readonly toGroup?: boolean;
}

const ALWAYS: readonly FieldName[] = ['port', 'flood', 'ethernetDestination', 'ethernetSource', 'vlan', 'etherType'];

function classOf(look: Look): { key: FlowKey; wanted: FlowMask } {
  const key = newKey();
  const wanted = newKey();
  setU32(key, FIELD.port.at, 3);
  setU16(key, FIELD.etherType.at, look.type);
  key[FIELD.protocol.at] = look.protocol ?? 0;
  if (look.toGroup) key[FIELD.ethernetDestination.at] = 0x01;
  for (const name of [...ALWAYS, ...(look.fields ?? [])]) markField(wanted, FIELD[name]);
  const family = look.type === ETHER_TYPE.ip6 ? 6 : 4;
  if (look.source !== undefined) markPrefix(wanted, FIELD.source.at, look.source, family);
  if (look.destination !== undefined) markPrefix(wanted, FIELD.destination.at, look.destination, family);
  return { key, wanted };
}

function take(book: MaskBook, look: Look, prefer?: FlowMask): LiveMask {
  const { key, wanted } = classOf(look);
  return book.take(key, wanted, prefer);
}

/** Leading bits of a 16-byte field that are marked, all the rest being clear. */
function prefixBits(mask: FlowMask, at: number): number {
  const bytes = mask.subarray(at, at + 16);
  const length = bytes.findIndex((byte) => byte !== 0xff);
  const marked = length < 0 ? 16 : length;
  assert.ok(bytes.subarray(marked).every((byte) => byte === 0));
  return marked * 8;
}

const IP4_TCP = { type: ETHER_TYPE.ip4, protocol: PROTOCOL.tcp };
const IP6_TCP = { type: ETHER_TYPE.ip6, protocol: PROTOCOL.tcp };

test('IPv4 prefixes are widened to the next of /8 /16 /24 /32, source and destination alike', () => {
  for (const [looked, rung] of [
    [1, 8],
    [8, 8],
    [9, 16],
    [16, 16],
    [17, 24],
    [24, 24],
    [25, 32],
    [32, 32],
  ] as const) {
    const { mask } = take(new MaskBook(), { ...IP4_TCP, destination: looked });
    assert.equal(prefixBits(mask, FIELD.destination.at), 96 + rung);
    assert.equal(prefixBits(mask, FIELD.source.at), 96 + rung);
  }
});

test('IPv6 prefixes are widened to the next of /32 /48 /64 /96 /128', () => {
  for (const [looked, rung] of [
    [3, 32],
    [33, 48],
    [49, 64],
    [64, 64],
    [65, 96],
    [97, 128],
  ] as const) {
    const { mask } = take(new MaskBook(), { ...IP6_TCP, source: looked });
    assert.equal(prefixBits(mask, FIELD.destination.at), rung);
    assert.equal(prefixBits(mask, FIELD.source.at), rung);
  }
});

test('a class that looked at no address and no port has neither in its mask', () => {
  const { mask } = take(new MaskBook(), IP4_TCP);
  assert.equal(prefixBits(mask, FIELD.source.at), 0);
  assert.equal(mask[FIELD.sourcePort.at], 0);
  assert.equal(mask[FIELD.destinationPort.at], 0);
  assert.equal(mask[FIELD.tcpFlags.at], 0);
});

test('a look at the destination port leaves the source port out, so connections share a flow', () => {
  const { mask } = take(new MaskBook(), { ...IP4_TCP, fields: ['destinationPort'] });
  assert.equal(mask[FIELD.destinationPort.at], 0xff);
  assert.equal(mask[FIELD.sourcePort.at], 0);
});

test('a class that is one connection anyway has exact addresses, and so has ICMP by type, and a group by port', () => {
  const book = new MaskBook();
  take(book, { ...IP4_TCP, fields: ['sourcePort', 'destinationPort'] });
  take(book, { type: ETHER_TYPE.ip6, protocol: PROTOCOL.icmp6, fields: ['sourcePort'] });
  take(book, { type: ETHER_TYPE.ip4, protocol: PROTOCOL.udp, fields: ['sourcePort'], toGroup: true });
  assert.equal(book.live.length, 1);
  assert.equal(prefixBits(book.live[0]!.mask, FIELD.source.at), 128);
});

test('exact addresses of IPv4, IPv6, ARP and a neighbour target have one mask', () => {
  const book = new MaskBook();
  take(book, { ...IP4_TCP, destination: 32 });
  take(book, { ...IP6_TCP, destination: 128 });
  take(book, { type: ETHER_TYPE.arp, protocol: 1, destination: 32 });
  take(book, { type: ETHER_TYPE.ip6, protocol: PROTOCOL.icmp6, fields: ['translatedDestination'] });
  assert.equal(book.live.length, 1);
});

test('a live mask with few more bits is taken instead of a new one', () => {
  const book = new MaskBook();
  const exact = take(book, { ...IP4_TCP, destination: 32 });
  assert.equal(take(book, { ...IP4_TCP, destination: 24 }), exact);
  assert.notEqual(take(book, { ...IP4_TCP, destination: 8 }), exact);
});

test('ports are not taken along where that would cost a flow for each connection, but are where they are always 0', () => {
  const book = new MaskBook();
  const ports = take(book, { ...IP4_TCP, destination: 32, fields: ['sourcePort', 'destinationPort'] });
  assert.notEqual(take(book, { ...IP4_TCP, destination: 32 }), ports);
  const other = new MaskBook();
  const only = take(other, { ...IP4_TCP, destination: 32, fields: ['sourcePort', 'destinationPort'] });
  assert.equal(take(other, { type: ETHER_TYPE.arp, protocol: 1, destination: 32 }), only);
  assert.equal(take(other, { type: ETHER_TYPE.ip4, protocol: PROTOCOL.icmp, destination: 32 }), only);
});

test('a small cloud lives with four masks, and with five at most in whatever order its classes come', () => {
  const classes: Look[] = [
    { ...IP4_TCP },
    { ...IP6_TCP },
    { type: ETHER_TYPE.ip4, protocol: PROTOCOL.udp },
    { type: ETHER_TYPE.arp, protocol: 1, destination: 32 },
    { type: ETHER_TYPE.arp, protocol: 2 },
    { type: ETHER_TYPE.ip6, protocol: PROTOCOL.icmp6, fields: ['fragment', 'sourcePort', 'translatedDestination'] },
    { type: ETHER_TYPE.ip6, protocol: PROTOCOL.icmp6, fields: ['fragment', 'sourcePort'] },
    { type: ETHER_TYPE.ip4, protocol: PROTOCOL.udp, fields: ['fragment', 'sourcePort', 'destinationPort'] },
    { type: ETHER_TYPE.ip6, protocol: PROTOCOL.udp, fields: ['fragment', 'sourcePort', 'destinationPort'] },
    { ...IP4_TCP, destination: 32 },
    { type: ETHER_TYPE.ip4, protocol: PROTOCOL.icmp, destination: 32 },
    { type: ETHER_TYPE.ip4, protocol: PROTOCOL.icmp, destination: 32, fields: ['sourcePort'] },
    { ...IP6_TCP, destination: 128 },
    { ...IP4_TCP, source: 24, destination: 32 },
    { ...IP4_TCP, source: 24, destination: 24 },
    { ...IP4_TCP, source: 16, destination: 20 },
    { ...IP6_TCP, source: 64, destination: 64 },
    { ...IP4_TCP, source: 24, destination: 32, fields: ['fragment', 'destinationPort'] },
  ];
  let most = 0;
  for (let first = 0; first < classes.length; first++) {
    const book = new MaskBook();
    for (const look of [...classes.slice(first), ...classes.slice(0, first)]) take(book, look);
    most = Math.max(most, book.live.length);
  }
  assert.ok(most <= 5, `${most} masks`);
  const book = new MaskBook();
  for (const look of classes) take(book, look);
  assert.equal(book.live.length, 4);
});

test('a mask that is there already is kept when the class is decided again', () => {
  const book = new MaskBook();
  const wide = take(book, { ...IP4_TCP, destination: 8 });
  take(book, { ...IP4_TCP, destination: 32 });
  assert.equal(take(book, { ...IP4_TCP, destination: 8 }, wide.mask), wide);
  const narrow = take(book, { ...IP4_TCP, destination: 30 }, wide.mask);
  assert.equal(prefixBits(narrow.mask, FIELD.destination.at), 128);
});

test('a mask that an earlier agent left in the kernel is taken up when this book could have made it', () => {
  const earlier = take(new MaskBook(), { ...IP4_TCP, destination: 24, fields: ['tcpFlags'] });
  const taken = take(new MaskBook(), { ...IP4_TCP, destination: 16 }, earlier.mask);
  assert.deepEqual(taken.mask, earlier.mask);
  const foreign = earlier.mask.slice();
  foreign[FIELD.source.at + 14] = 0xf0;
  const own = take(new MaskBook(), { ...IP4_TCP, destination: 16 }, foreign);
  assert.equal(prefixBits(own.mask, FIELD.destination.at), 96 + 16);
});

test('a mask without flows is not live', () => {
  const book = new MaskBook();
  const twice = take(book, IP4_TCP);
  take(book, IP4_TCP);
  book.release(twice);
  assert.equal(book.live.length, 1);
  book.release(twice);
  assert.equal(book.live.length, 0);
  assert.throws(() => book.release(twice), /not live/);
});

const etherTypes = fc.constantFrom<number>(ETHER_TYPE.ip4, ETHER_TYPE.ip6, ETHER_TYPE.arp, 0x88cc);
const protocols = fc.constantFrom<number>(...Object.values(PROTOCOL), 0, 2, 89);
const names = Object.keys(FIELD).filter((name) => name !== 'mask') as FieldName[];
/** Any bits of any fields: more than a walk ever marks. */
const anyMask = fc
  .record({
    whole: fc.subarray(names),
    bytes: fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(15), fc.nat(255)), { maxLength: 6 }),
  })
  .map(({ whole, bytes }) => {
    const mask: FlowMask = newKey();
    for (const name of whole) markField(mask, FIELD[name]);
    for (const [name, at, bits] of bytes) mask[FIELD[name].at + (at % FIELD[name].bytes)] = bits;
    return mask;
  });
const anyClass = fc.record({ type: etherTypes, protocol: protocols, wanted: anyMask, releases: fc.nat(3) });

test('whatever is marked is in the mask that is given, and never more than 16 masks are live', () => {
  fc.assert(
    fc.property(fc.array(anyClass, { minLength: 1, maxLength: 120 }), (classes) => {
      const book = new MaskBook();
      const taken: LiveMask[] = [];
      for (const { type, protocol, wanted, releases } of classes) {
        const { key } = classOf({ type, protocol });
        const live = book.take(key, wanted, taken.at(-1)?.mask);
        taken.push(live);
        assert.ok(maskCovers(live.mask, wanted));
        for (const name of ALWAYS) assert.ok(live.mask.subarray(FIELD[name].at, FIELD[name].at + 1)[0] === 0xff);
        assert.ok(book.live.includes(live) && book.live.length <= MASKS_MAX);
        assert.equal(new Set(book.live.map(({ mask }) => mask.toString())).size, book.live.length);
        if (releases === 0) book.release(taken.shift()!);
      }
      for (const live of taken) book.release(live);
      assert.equal(book.live.length, 0);
    }),
    { numRuns: 300 },
  );
});

test('when no slot is left classes merge into the reserved masks, and that is counted', () => {
  const optional: FieldName[] = ['sourcePort', 'tcpFlags', 'trafficClass'];
  const book = new MaskBook();
  // A book alone never makes so many: the classes come with masks that they had before.
  for (let bits = 1; book.live.length < MASKS_MAX - 3; bits++) {
    const fields = optional.filter((_, at) => (bits & (1 << at)) !== 0);
    const { mask } = take(new MaskBook(), { ...IP6_TCP, destination: [32, 48, 64][bits >> 3]!, fields });
    take(book, { ...IP6_TCP, fields }, mask);
  }
  assert.equal(book.merged, 0);
  const exact = take(book, { ...IP4_TCP, destination: 9 });
  assert.equal(prefixBits(exact.mask, FIELD.destination.at), 128);
  assert.equal(exact.mask[FIELD.destinationPort.at], 0);
  assert.equal(book.merged, 1);
  take(book, { ...IP4_TCP, destination: 9, fields: ['direction'] });
  assert.equal(book.merged, 2);
  assert.equal(book.allFieldsFlows, 1);
});
