import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { Action } from '../../../flow/actions.ts';
import { applyActions } from '../../../flow/apply.ts';
import { FIELD, KEY_BYTES } from '../../../flow/fields.ts';
import { keyOfFrame } from '../../../flow/key.ts';
import { DROP, UP } from '../../../flow/reasons.ts';
import { readU16 } from '../../../packet/address.ts';
import { frameOf } from '../../../packet/words.ts';
import { output } from '../../conformance/bed.ts';
import {
  arp,
  classOf,
  extended6,
  fragments4,
  fragments6,
  keyFor,
  MACS,
  solicitation,
  tag,
  tcp4,
  udp4,
  udp6,
} from '../../conformance/frames.ts';
import { NUMBERS } from '../../contract.ts';
import { HOOK_PROGRAMS, Programs, TEST_PROGRAM } from '../loader.ts';
import { whyNoKernelTests } from './testbed.ts';
import { type RunResult, TestRun } from './testrun.ts';

const LOAD_BUDGET_MS = 1000;
const [HERE, THERE, FLOOD, HOST] = [9, 10, 41, 3];
const PORT = 7;

/** Numbers below `limit`, always the same ones (a linear congruential generator). */
function numbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * limit);
  };
}

/** New kernels refuse a test-run with less than an IP header behind an untagged IP ethertype. */
function isRefused(frame: Uint8Array): boolean {
  const type = readU16(frame, 12);
  return frame.length < (type === 0x0800 ? 34 : type === 0x86dd ? 54 : 0);
}

/** Frames of all kinds, most of them then damaged: bytes changed, cut off or added. */
function generatedFrames(count: number): Uint8Array[] {
  const whole = [
    udp4(),
    udp6(),
    tcp4(),
    arp(),
    arp(2, [tag(5)]),
    extended6(),
    solicitation(),
    solicitation(0n as never),
    ...fragments4(),
    ...fragments6(),
    udp4({ tags: [tag(4)] }),
    udp6({ tags: [tag(4, 0x88a8), tag(5)] }),
    udp4({ tags: [tag(1), tag(2), tag(3)] }),
    udp4({ payloadBytes: 1400 }),
  ];
  const next = numbers(4);
  return Array.from({ length: count }, () => {
    const base = whole[next(whole.length)]!;
    const frame = new Uint8Array(Math.max(15, base.length + (next(4) === 0 ? next(60) - 40 : 0)));
    frame.set(base.subarray(0, frame.length));
    for (let changes = next(4); changes > 0; changes--) {
      // Where the parser looks: the first hundred bytes, ethertypes and next headers above all.
      const at = 12 + next(Math.min(frame.length, 100) - 12);
      const telling = [0, 1, 2, 4, 5, 6, 17, 43, 44, 51, 58, 60, 132, 133, 135, 137, 255];
      frame[at] = next(2) === 0 ? telling[next(telling.length)]! : next(256);
    }
    return frame;
  });
}

describe('the program, by test-run', { skip: whyNoKernelTests() }, () => {
  const open: TestRun[] = [];
  const fresh = (): TestRun => {
    const run = new TestRun();
    open.push(run);
    run.setHost(HOST, true);
    run.setDelivery(HERE, 'local');
    run.setDelivery(THERE, { host: HOST });
    return run;
  };
  after(async () => {
    for (const run of open) await run.close();
  });
  /** Short words for what came out. */
  const words = ({ records, misses }: RunResult): string[] => [
    ...records.map((one) => {
      if (one.kind === 'tunnel') return `tunnel ${one.key.toString(16)} to ${one.host}`;
      return one.kind === 'drop' ? `drop ${one.reason}` : `${one.kind} ${one.port}`;
    }),
    ...misses.map((miss) => `up ${miss.cause}`),
  ];
  const only = (result: RunResult): Uint8Array => {
    assert.equal(result.records.length, 1, words(result).join(', '));
    return result.records[0]!.frame;
  };

  test('of two flows whose hashes meet the later one is there, and taking the other away leaves it', () => {
    // Source and destination are a pair of factors: with seeds of 0 the hash of flows to 0.0.0.0 holds no source.
    const seed = new Uint8Array(KEY_BYTES);
    seed[0] = 1;
    const run = new TestRun(seed);
    open.push(run);
    run.setDelivery(HERE, 'local');
    const from = (source: string) =>
      frameOf(`eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(${source}, 0.0.0.0) udp(4000, 53)`);
    const [first, second] = [from('10.0.0.1'), from('10.0.0.2')];
    const flowOf = (frame: Uint8Array) => ({
      ...classOf(frame, PORT, ['source', 'destination']),
      actions: [output(HERE)],
    });
    run.install([flowOf(first)]);
    assert.deepEqual(words(run.run(PORT, first)), [`local ${HERE}`]);
    assert.deepEqual(words(run.run(PORT, second)), [`up ${UP.miss}`], 'equal hashes are not equal keys');
    run.install([flowOf(second)]);
    assert.equal(run.flows().length, 1);
    assert.deepEqual(words(run.run(PORT, first)), [`up ${UP.miss}`]);
    run.remove([flowOf(first)]);
    assert.deepEqual(words(run.run(PORT, second)), [`local ${HERE}`]);
    run.remove([flowOf(second)]);
    assert.deepEqual(run.flows(), []);
  });

  test('ports whose numbers meet in the table of places are all delivered, and one that goes leaves the others', () => {
    const run = fresh();
    const meeting = [HERE, HERE + NUMBERS.PLACES, HERE + 2 * NUMBERS.PLACES];
    const reach = (): string[] => meeting.flatMap((number) => words(run.runInjected('deliver', number, udp4())));
    const here = meeting.map((number) => `local ${number}`);
    for (const number of meeting) run.setDelivery(number, 'local');
    assert.deepEqual(reach(), here);
    run.setDelivery(meeting[1]!, { host: HOST });
    assert.deepEqual(reach(), [here[0], `tunnel ${meeting[1]!.toString(16)} to ${HOST}`, here[2]]);
    run.setDelivery(meeting[0]!, undefined);
    assert.deepEqual(reach(), [`drop ${DROP.noDelivery}`, `tunnel ${meeting[1]!.toString(16)} to ${HOST}`, here[2]]);
    run.setDelivery(meeting[1]!, undefined);
    run.setDelivery(meeting[0]!, 'local');
    assert.deepEqual(reach(), [here[0], `drop ${DROP.noDelivery}`, here[2]]);
  });

  test('what came from a port is one counter, with and without a slot at hand', () => {
    const run = fresh();
    run.install([{ ...classOf(udp4(), PORT), actions: [{ kind: 'drop', reason: DROP.policy }] }]);
    run.run(PORT, udp4());
    run.measure(PORT, udp4(), 10);
    const received = run.counters().filter(({ kind, id }) => kind === 'portRx' && id === PORT);
    assert.deepEqual(
      received.map(({ packets }) => packets),
      [11],
    );
  });

  test('ports beyond the slots for traffic are counted all the same', () => {
    const run = fresh();
    for (let port = 100; port < 100 + NUMBERS.TRAFFIC_SLOTS; port++) run.setDelivery(port, 'local');
    const last = 99 + NUMBERS.TRAFFIC_SLOTS;
    const sent = (port: number): number | undefined =>
      run.counters().find(({ kind, id }) => kind === 'portTx' && id === port)?.packets;
    for (const port of [100, last]) run.runInjected('deliver', port, udp4());
    assert.deepEqual([sent(100), sent(last)], [1, 1]);
    run.setDelivery(100, undefined);
    assert.equal(sent(100), undefined);
    run.setDelivery(7000, { host: HOST });
    run.setDelivery(7001, 'local');
    assert.equal(sent(7001), undefined, 'a slot that was another port’s begins at 0');
  });

  test('all programs are loaded within a second', () => {
    const start = performance.now();
    const programs = new Programs(undefined, [...HOOK_PROGRAMS, TEST_PROGRAM], 'tcx');
    const tookMs = performance.now() - start;
    programs.close();
    assert.ok(tookMs < LOAD_BUDGET_MS, `loading took ${tookMs} ms`);
  });

  test('the key of the kernel is that of keyOfFrame, or both drop for the same reason', () => {
    const run = fresh();
    let keys = 0;
    for (const frame of generatedFrames(4000)) {
      if (isRefused(frame)) continue;
      const hex = Buffer.from(frame).toString('hex');
      const expected = keyOfFrame(frame, PORT);
      const { records, misses } = run.run(PORT, frame);
      if (expected.key === undefined) {
        assert.deepEqual(words({ records, misses }), [`drop ${expected.drop}`], hex);
        continue;
      }
      const part = expected.key[FIELD.fragment.at];
      if (misses.length === 0) {
        assert.equal(part, 2, hex);
        assert.deepEqual(words({ records, misses }), [`drop ${DROP.laterFragmentFirst}`], hex);
        continue;
      }
      // The ports of a later fragment come from its first one.
      const theirs = misses[0]!.key.slice();
      if (part === 2) theirs.fill(0, FIELD.sourcePort.at, FIELD.destinationPort.at + 2);
      assert.deepEqual(Buffer.from(theirs).toString('hex'), Buffer.from(expected.key).toString('hex'), hex);
      assert.deepEqual(misses[0]!.frame, frame, hex);
      keys++;
    }
    assert.ok(keys > 1000, `${keys} frames had a key`);
  });

  test('frames of every length come up whole', () => {
    const run = fresh();
    for (const payloadBytes of [0, 1, 186, 190, 194, 1800, 1850, 1854, 1858, 1990, 2100, 3042, 3500]) {
      for (const tags of [[], [tag(4)]]) {
        const frame = udp4({ payloadBytes, tags });
        const { misses } = run.run(PORT, frame);
        assert.equal(misses.length, 1, `${frame.length} bytes`);
        assert.equal(misses[0]!.frameBytes, frame.length);
        assert.ok(Buffer.from(misses[0]!.frame).equals(frame), `${frame.length} bytes`);
      }
    }
  });

  test('lists of steps do what their twin does', () => {
    const run = fresh();
    const set: Action = { kind: 'setEthernet', destination: MACS[2], source: MACS[1] };
    const lists: Action[][] = [
      [output(HERE)],
      [{ kind: 'decrementTtl', by: 1 }, set, output(THERE)],
      [{ kind: 'checkLength', mtuBytes: 60 }, { kind: 'decrementTtl', by: 63 }, set, output(HERE)],
      [{ kind: 'checkLength', mtuBytes: 59 }, output(HERE)],
      [{ kind: 'decrementTtl', by: 64 }, output(HERE)],
      [output(HERE), { kind: 'decrementTtl', by: 64 }, output(THERE)],
      [output(HERE), { kind: 'decrementTtl', by: 1 }, output(THERE), { kind: 'decrementTtl', by: 1 }],
      [
        { kind: 'pushVlan', tci: 7, tpid: 0x8100 },
        output(HERE),
        { kind: 'pushVlan', tci: 8, tpid: 0x88a8 },
        output(HERE),
      ],
      [{ kind: 'popVlan' }, output(HERE), { kind: 'popVlan' }, set, output(HERE)],
      [{ kind: 'answerNeighbour', mac: MACS[2], router: true }],
      [{ kind: 'toAgent', cause: UP.packet }],
      [{ kind: 'drop', reason: DROP.noRoute }],
      [output(HERE), { kind: 'drop', reason: DROP.noRoute }],
      [],
    ];
    const frames = [udp4(), udp6(), arp(), solicitation(), udp4({ tags: [tag(3)] }), udp6({ tags: [tag(3), tag(4)] })];
    for (const actions of lists) {
      for (const frame of frames) {
        run.install([{ ...classOf(frame, PORT, ['vlan', 'innerVlan', 'protocol', 'sourcePort']), actions }]);
        const key = keyFor(frame, PORT);
        const expected = applyActions(actions, frame, key).outputs;
        const { records, misses } = run.run(PORT, frame);
        const what = JSON.stringify(actions) + Buffer.from(frame).toString('hex');
        const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
        assert.deepEqual(
          [...records.map((one) => hex(one.frame)), ...misses.map((miss) => hex(miss.frame))],
          expected.map((one) => hex(one.frame)),
          what,
        );
        assert.equal(misses.length, expected.filter(({ kind }) => kind === 'up').length, what);
      }
    }
  });

  test('a flood is a copy for each host and a look-up for each member but the ingress port', () => {
    const run = fresh();
    run.setFlood(FLOOD, { members: [PORT, HERE, 12], hosts: [HOST] });
    run.install([{ ...classOf(arp(), PORT), actions: [{ kind: 'flood', flood: FLOOD }] }]);
    assert.deepEqual(words(run.run(PORT, arp())), [
      `tunnel ${FLOOD.toString(16)} to ${HOST}`,
      `member ${HERE}`,
      'member 12',
    ]);
    const [miss] = run.runMember(HERE, arp()).misses;
    assert.deepEqual([miss!.cause, miss!.key], [UP.memberMiss, keyFor(arp(), HERE, FLOOD)]);
    run.install([{ ...classOf(arp(), HERE, [], FLOOD), actions: [output(HERE)] }]);
    assert.deepEqual(words(run.runMember(HERE, arp())), [`local ${HERE}`]);
    assert.deepEqual(words(run.runTunnel(FLOOD, HOST, arp())), [`member ${PORT}`, `member ${HERE}`, 'member 12']);
    assert.deepEqual(words(run.runInjected('member', 12, arp())), [`drop ${DROP.injectedMiss}`]);
  });

  test('a tunnel packet goes by its key; one for a port that has moved is forwarded once', () => {
    const run = fresh();
    const { KEY_FORWARDED, KEY_STATE_FRAME } = NUMBERS;
    assert.deepEqual(words(run.runTunnel(HERE, HOST, udp4())), [`local ${HERE}`]);
    assert.deepEqual(words(run.runTunnel(THERE, HOST, udp4())), [
      `tunnel ${(THERE | KEY_FORWARDED).toString(16)} to ${HOST}`,
    ]);
    assert.deepEqual(words(run.runTunnel(THERE | KEY_FORWARDED, HOST, udp4())), [`drop ${DROP.noDelivery}`]);
    assert.deepEqual(words(run.runTunnel(HERE | KEY_STATE_FRAME, HOST, udp4())), [`drop ${DROP.stateFrame}`]);
    assert.deepEqual(words(run.runTunnel(99, HOST, udp4())), [`drop ${DROP.noDelivery}`]);
  });

  test('budgets and pending keys are filled again as the clock goes on', () => {
    const run = fresh();
    run.set('pending_packets', 2);
    run.set('pending_ms', 100);
    const sends = (count: number) => Array.from({ length: count }, () => run.run(PORT, udp4())).flatMap(words);
    const [up, pending] = [`up ${UP.miss}`, `drop ${DROP.pending}`];
    assert.deepEqual(sends(3), [up, up, pending]);
    run.advanceClock(150);
    assert.deepEqual(sends(3), [up, up, pending]);
    run.set('service_rate', 2);
    run.set('service_burst', 3);
    run.install([{ ...classOf(udp4(), 8), actions: [{ kind: 'toAgent', cause: UP.service }] }]);
    const ups = (count: number) =>
      Array.from({ length: count }, () => run.run(8, udp4()))
        .flatMap(words)
        .filter((word) => word === `up ${UP.service}`).length;
    assert.equal(ups(10), 3);
    run.advanceClock(500);
    assert.equal(ups(10), 1);
    run.advanceClock(60_000);
    assert.equal(ups(10), 3);
  });

  test('what finds no room among the counters is counted as lost', () => {
    const run = fresh();
    run.install([{ ...classOf(udp4(), PORT), actions: [{ kind: 'drop', reason: DROP.policy }] }]);
    run.run(PORT, udp4());
    run.fillCounters();
    for (let n = 0; n < 3; n++) run.run(PORT, udp4());
    for (let n = 0; n < 4; n++) run.run(PORT + 1, arp().subarray(0, 40));
    assert.deepEqual(
      run
        .counters()
        .map(({ kind, id, packets }) => ({ kind, id, packets }))
        .sort((a, b) => (a.kind < b.kind ? -1 : 1)),
      [
        { kind: 'drop', id: DROP.policy, packets: 4 },
        // What came in at a port, and its drop.
        { kind: 'lost', id: 0, packets: 8 },
        { kind: 'portRx', id: PORT, packets: 4 },
      ],
    );
  });

  test('an action set that was given back is not used again at once, and a chain of sets is one list', () => {
    const run = fresh();
    const long: Action[] = Array.from({ length: 40 }, (_, at) => ({ kind: 'count', counter: at }));
    const flow = { ...classOf(udp4(), PORT), actions: [...long, output(HERE)] };
    run.install([flow]);
    assert.deepEqual(words(run.run(PORT, udp4())), [`local ${HERE}`]);
    assert.deepEqual(run.flows()[0]!.actions, flow.actions);
    assert.throws(() => run.install([{ ...flow, actions: [...long, ...long] }]), RangeError);
    run.remove([flow]);
    assert.deepEqual(words(run.run(PORT, udp4())), [`up ${UP.miss}`]);
  });

  test('the mask that matched most comes first', () => {
    const run = fresh();
    const narrow = { ...classOf(udp4(), PORT, ['sourcePort', 'destinationPort']), actions: [output(HERE)] };
    const wide = { ...classOf(udp6(), PORT), actions: [output(THERE)] };
    run.install([narrow, wide]);
    for (let n = 0; n < 20; n++) run.run(PORT, udp6());
    const [first, second] = [
      run.flows().find(({ mask }) => Buffer.from(mask).equals(wide.mask)),
      run.run(PORT, udp4()),
    ];
    assert.equal(first!.packets, 20);
    assert.deepEqual(words(second), [`local ${HERE}`]);
    assert.equal(wide.mask.length, KEY_BYTES);
    assert.deepEqual(only(run.run(PORT, udp6())), udp6());
  });
});
