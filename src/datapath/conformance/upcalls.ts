// Conformance: what comes up, how much of it, fragments, and garbage.

import assert from 'node:assert/strict';
import { FIELD, FRAGMENT } from '../../flow/fields.ts';
import { keyOfFrame } from '../../flow/key.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { writeU16 } from '../../packet/address.ts';
import { NUMBERS } from '../contract.ts';
import { type Budgets, PENDING } from '../datapath.ts';
import { type Bed, FLOOD, type Open, output, PLENTY, PORTS, until, withBed } from './bed.ts';
import { fragments4, fragments6, keyFor, udp4, udp6 } from './frames.ts';

const [A, B] = PORTS;
const SCANTY = { perSecond: 1, burst: 5 };
/** Sent at once: far more than a scanty budget lets through even if the test is slow. */
const MANY = 60;

/** 14 to 113 bytes that look random and are the same in every run. */
function noise(seed: number): Uint8Array {
  let state = seed + 1;
  const next = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 16) & 0xff;
  };
  for (let n = 0; n < 5; n++) next();
  return Uint8Array.from({ length: 14 + (seed % 100) }, next);
}

export function upcallCases(open: Open): void {
  const it = (name: string, body: (bed: Bed) => Promise<void>) => withBed(open, name, body);

  it('wait returns at once when something is there, when something comes, and after its time', async (bed) => {
    const { datapath } = bed;
    const start = performance.now();
    await datapath.wait(30);
    assert.ok(performance.now() - start >= 25);
    const waiting = datapath.wait(60_000);
    await bed.sends(A, udp4());
    await waiting;
    await datapath.wait(60_000);
    assert.equal((await bed.comesUp(1)).length, 1);
  });

  it('packets come up in their order, as many as are asked for', async (bed) => {
    for (let n = 1; n <= 5; n++) await bed.sends(A, udp4({ destinationPort: n }));
    await until(() => bed.packets('up', UP.miss, A) === 5);
    const first = bed.datapath.poll(2).map(({ frame }) => frame.slice());
    const rest = bed.datapath.poll(10).map(({ frame }) => frame.slice());
    assert.deepEqual(
      [...first, ...rest],
      [1, 2, 3, 4, 5].map((n) => udp4({ destinationPort: n })),
    );
    assert.equal(first.length, 2);
    assert.equal(bed.datapath.poll(10).length, 0);
  });

  const budgets: readonly (readonly [keyof Budgets, string, (bed: Bed) => void])[] = [
    ['miss', 'misses', () => undefined],
    ['service', 'service requests', (bed) => bed.flow(udp4(), A, [{ kind: 'toAgent', cause: UP.service }])],
    ['exception', 'exceptions', (bed) => bed.flow(udp4(), A, [{ kind: 'decrementTtl', by: 64 }, output(B)])],
  ];
  for (const [budget, name, prepare] of budgets) {
    it(`${name} of a port are limited by its budget, other kinds and ports are not`, async (bed) => {
      bed.datapath.setBudgets({ miss: PLENTY, service: PLENTY, exception: PLENTY, [budget]: SCANTY });
      prepare(bed);
      for (let n = 1; n <= MANY; n++) await bed.sends(A, udp4({ destinationPort: n }));
      const reason = DROP[`${budget}Budget`];
      const cause = { miss: UP.miss, service: UP.service, exception: UP.ttl }[budget];
      const up = () => bed.packets('up', cause, A);
      const dropped = () => bed.packets('drop', reason, A);
      await until(() => up() + dropped() === MANY);
      assert.equal(up() + dropped(), MANY);
      assert.ok(up() >= SCANTY.burst && up() <= SCANTY.burst + 10, `${up()} came up`);
      await bed.comesUp(up());
      await bed.sends(B, udp4());
      if (budget !== 'miss') await bed.sends(A, udp6());
      await bed.comesUp(budget === 'miss' ? 1 : 2);
    });
  }

  it('what is flooded to a member costs the budget of the flood, not that of what the member sends', async (bed) => {
    bed.datapath.setBudgets({ miss: SCANTY, service: PLENTY, exception: PLENTY });
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [] });
    bed.flow(udp4(), B, [{ kind: 'flood', flood: FLOOD }], ['port']);
    for (let n = 1; n <= MANY; n++) await bed.sends(B, udp4({ destinationPort: n }));
    const up = () => bed.packets('up', UP.memberMiss, A);
    await until(() => up() + bed.packets('drop', DROP.missBudget, A) === MANY);
    assert.ok(up() >= SCANTY.burst && up() <= SCANTY.burst + 10, `${up()} came up`);
    await bed.comesUp(up());
    await bed.sends(A, udp4());
    assert.equal((await bed.comesUp(1))[0]!.cause, UP.miss);
  });

  it('while an answer is awaited a few packets of one key come up, others are not held back', async (bed) => {
    const sent = PENDING.packets * 3;
    for (let n = 0; n < sent; n++) await bed.sends(A, udp4());
    const up = () => bed.packets('up', UP.miss, A);
    const dropped = () => bed.packets('drop', DROP.pending, A);
    await until(() => up() + dropped() === sent);
    assert.equal(up() + dropped(), sent);
    assert.ok(up() >= PENDING.packets && dropped() >= PENDING.packets, `${up()} came up`);
    await bed.comesUp(up());
    await bed.sends(A, udp4({ destinationPort: 99 }));
    await bed.comesUp(1);
    bed.flow(udp4(), A, [output(B)]);
    await bed.sends(A, udp4());
    await bed.receives(B, 1);
  });

  for (const [family, fragments] of [
    ['IPv4', fragments4],
    ['IPv6', fragments6],
  ] as const) {
    it(`later fragments of ${family} are matched by the ports of their first, those without one are dropped`, async (bed) => {
      const [first, later] = fragments({ id: 7 });
      await bed.sends(A, first);
      await bed.sends(A, later);
      const [, miss] = await bed.comesUp(2);
      const key = keyFor(later, A);
      key.set(keyFor(first, A).subarray(68, 72), 68);
      assert.deepEqual([miss!.frame, miss!.key], [later, key]);
      bed.flow(first, A, [output(B)], ['destinationPort']);
      await bed.sends(A, later);
      assert.deepEqual(await bed.receives(B, 1), [later]);
      // Another datagram, and the same one at another port.
      await bed.sends(A, fragments({ id: 8 })[1]);
      await bed.dropped('laterFragmentFirst', A);
      await bed.sends(B, later);
      await bed.dropped('laterFragmentFirst', B);
    });
  }

  it('of one port as many datagrams as it has slots are kept apart, and what is flooded to it has others', async (bed) => {
    const drop = { kind: 'drop' as const, reason: DROP.policy };
    const { FRAGMENT_SLOTS } = NUMBERS;
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [] });
    bed.flow(fragments4()[0], A, [drop], ['fragment']);
    bed.flow(fragments4()[1], A, [drop], ['fragment']);
    bed.flow(fragments4()[0], A, [drop], [], FLOOD);
    bed.flow(fragments4()[0], B, [{ kind: 'flood', flood: FLOOD }]);
    for (let id = 1; id <= FRAGMENT_SLOTS; id++) await bed.sends(A, fragments4({ id })[0]);
    for (let id = 1; id <= FRAGMENT_SLOTS; id++) await bed.sends(B, fragments4({ id: 1000 + id })[0]);
    for (let id = 1; id <= FRAGMENT_SLOTS; id++) await bed.sends(A, fragments4({ id })[1]);
    await bed.dropped('policy', A, 3 * FRAGMENT_SLOTS);
    // One more first takes the slot of the first of them.
    await bed.sends(A, fragments4({ id: 1 + FRAGMENT_SLOTS })[0]);
    await bed.sends(A, fragments4({ id: 1 })[1]);
    await bed.dropped('laterFragmentFirst', A);
    await bed.sends(A, fragments4({ id: 2 })[1]);
    await bed.dropped('policy', A, 3 * FRAGMENT_SLOTS + 2);
  });

  it('a flood of first fragments from one port leaves those of another in place', async (bed) => {
    const drop = { kind: 'drop' as const, reason: DROP.policy };
    for (const fragment of fragments4()) for (const port of [A, B]) bed.flow(fragment, port, [drop], ['fragment']);
    await bed.sends(B, fragments4({ id: 7 })[0]);
    for (let id = 1; id <= 20_000; id++) await bed.sends(A, fragments4({ id })[0]);
    // Some may be lost on the way into the kernel: the rest is still more than any table of all ports could be.
    await until(() => bed.packets('drop', DROP.policy, A) >= 15_000);
    assert.ok(bed.packets('drop', DROP.policy, A) >= 15_000);
    await bed.sends(B, fragments4({ id: 7 })[1]);
    await bed.dropped('policy', B, 2);
  });

  it('of random bytes each frame is accounted for: it comes up with the key of the twin, or is dropped', async (bed) => {
    const types = [0x0800, 0x86dd, 0x0806, 0x88cc];
    const firstBytes = [0x45, 0x60, 0x00, 0x00];
    const expected: Uint8Array[] = [];
    for (let n = 0; n < 400; n++) {
      const frame = noise(n);
      writeU16(frame, 12, types[n % 4]!);
      // Half of them look right at the first byte behind the type, and have a length that fits.
      if (n % 8 < 4 && frame.length > 20) {
        frame[14] = firstBytes[n % 4]!;
        if (n % 4 === 0) writeU16(frame, 16, frame.length - 14);
        if (n % 4 === 1) writeU16(frame, 18, Math.max(0, frame.length - 54));
      }
      const { key } = keyOfFrame(frame, A);
      if (key !== undefined && key[FIELD.fragment.at] !== FRAGMENT.later) expected.push(frame);
      await bed.sends(A, frame);
    }
    const dropped = () =>
      [DROP.malformed, DROP.unparsedExtension, DROP.laterFragmentFirst]
        .map((reason) => bed.packets('drop', reason, A))
        .reduce((sum, packets) => sum + packets, 0);
    await until(() => dropped() === 400 - expected.length);
    assert.equal(dropped(), 400 - expected.length);
    for (const [at, miss] of (await bed.comesUp(expected.length)).entries()) {
      assert.deepEqual(miss.frame, expected[at]);
      assert.deepEqual(miss.key, keyFor(expected[at]!, A));
    }
    assert.ok(expected.length > 100 && expected.length < 300, `${expected.length} have a key`);
  });

  it('garbage is dropped, counted by its reason, and harms nobody', async (bed) => {
    const whole = udp4();
    const truncated = [20, 30, 33].map((length) => whole.slice(0, length));
    const version = whole.slice();
    version[14] = 0x65;
    const longer = whole.slice();
    longer[16] = 0xff;
    const garbage = [...truncated, version, longer, udp6().slice(0, 50)];
    for (const frame of garbage) await bed.sends(A, frame);
    await bed.dropped('malformed', A, garbage.length);
    await bed.harness.tunnelSends(bed.harness.peers[0].remote, B, version);
    assert.deepEqual(await bed.receives(B, 1), [version]);
    await bed.comesUp(0);
    bed.flow(whole, A, [output(B)]);
    await bed.sends(A, whole);
    await bed.receives(B, 1);
  });
}
