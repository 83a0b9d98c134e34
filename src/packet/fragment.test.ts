import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checksumOf } from './checksum.ts';
import { fragmentIpv4 } from './fragment.ts';
import { parseIpv4 } from './ipv4.ts';
import { frameOf } from './words.ts';

const ETH = 'eth(02:00:00:00:00:01, 02:00:00:00:00:02)';

test('a packet that fits is not touched', () => {
  const frame = frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2) udp(1, 2) bytes(40)`);
  assert.deepEqual(fragmentIpv4(frame, 14, 68), [frame]);
});

test('the pieces fit, follow each other and hold the payload, also of what is a fragment already', () => {
  const packets = fc.record({
    mtu: fc.integer({ min: 68, max: 600 }),
    payload: fc.integer({ min: 100, max: 2000 }),
    offset: fc.nat({ max: 100 }).map((units) => units * 8),
    more: fc.boolean(),
    tag: fc.constantFrom('', 'vlan(5) '),
    options: fc.constantFrom('', ', options=94040000', ', options=0107040000000001'),
  });
  fc.assert(
    fc.property(packets, ({ mtu, payload, offset, more, tag, options }) => {
      const place = `offset=${offset}${more ? ', more' : ''}`;
      const frame = frameOf(`${ETH} ${tag}ip(10.0.0.1, 10.0.0.2, id=7, ${place}${options}) bytes(${payload})`);
      const at = tag === '' ? 14 : 18;
      const whole = parseIpv4(frame, at, frame.length)!;
      let next = offset;
      const pieces = fragmentIpv4(frame, at, mtu);
      pieces.forEach((piece, index) => {
        const ip = parseIpv4(piece, at, piece.length)!;
        assert.deepEqual(piece.slice(0, at), frame.slice(0, at));
        assert.ok(pieces.length === 1 || ip.end - at <= mtu);
        assert.equal(checksumOf(piece, at, ip.payloadAt), 0);
        assert.equal(ip.fragmentOffset, next);
        assert.equal(ip.moreFragments, index < pieces.length - 1 || more);
        const from = whole.payloadAt + next - offset;
        assert.deepEqual(piece.slice(ip.payloadAt, ip.end), frame.slice(from, from + ip.end - ip.payloadAt));
        next += ip.end - ip.payloadAt;
      });
      assert.equal(next - offset, whole.end - whole.payloadAt);
    }),
  );
});

test('only options that say so are copied to later fragments', () => {
  const optionsOf = (options: string) => {
    const frame = frameOf(`${ETH} ip(10.0.0.1, 10.0.0.2, options=${options}) bytes(100)`);
    return fragmentIpv4(frame, 14, 80).map((piece) => parseIpv4(piece, 14, piece.length)!.options.length);
  };
  assert.deepEqual(optionsOf('94040000'), [4, 4]);
  assert.deepEqual(optionsOf('0707040000000000'), [8, 0]);
});
