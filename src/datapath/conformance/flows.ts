// Conformance: flows are installed, hit, replaced, listed and removed.

import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import type { Action } from '../../flow/actions.ts';
import { FIELD, type FieldName, type FlowKey, newKey, sameBytes, setU32 } from '../../flow/fields.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { DatapathFull, type FlowEntry } from '../datapath.ts';
import { type Bed, type Open, output, PORTS, until, withBed } from './bed.ts';
import {
  arp,
  classOf,
  everything,
  extended6,
  fragments4,
  fragments6,
  keyFor,
  MACS,
  maskOf,
  solicitation,
  tag,
  tcp4,
  udp4,
  udp6,
} from './frames.ts';

const [A, B, C] = PORTS;

/** Flows of a list by key, as plain values. */
const plain = (flows: readonly FlowEntry[]) =>
  flows
    .map(({ key, mask, actions }) => ({ key: [...key], mask: [...mask], actions: [...actions] }))
    .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

export function flowCases(open: Open): void {
  const it = (name: string, body: (bed: Bed) => Promise<void>) => withBed(open, name, body);

  it('a packet without a flow comes up whole, with its full key', async (bed) => {
    const frames = [
      udp4(),
      udp6(),
      tcp4(0x12),
      arp(),
      arp(2),
      solicitation(),
      solicitation(0n as never),
      extended6(),
      fragments4()[0],
      fragments6()[0],
      udp4({ tags: [tag(7)] }),
      udp4({ tags: [tag(7, 0x88a8), tag(9)] }),
      udp4({ payloadBytes: 1400 }),
    ];
    for (const frame of frames) await bed.sends(A, frame);
    for (const [at, miss] of (await bed.comesUp(frames.length)).entries()) {
      assert.equal(miss.cause, UP.miss);
      assert.deepEqual(miss.frame, frames[at]);
      assert.equal(miss.frameBytes, frames[at]!.length);
      assert.equal(miss.gsoBytes, 0);
      assert.ok(miss.ageMs >= 0 && miss.ageMs < 60_000);
      assert.deepEqual(miss.key, keyFor(frames[at]!, A));
    }
    await bed.counted('portRx', A, 0, frames.length);
    await bed.counted('up', UP.miss, A, frames.length);
  });

  it('a packet of the class goes where the flow says, another comes up', async (bed) => {
    bed.flow(udp4(), A, [output(B)], ['destinationPort', 'protocol']);
    await bed.sends(A, udp4());
    await bed.sends(A, udp4({ ttl: 3, id: 9 }));
    assert.deepEqual(await bed.receives(B, 2), [udp4(), udp4({ ttl: 3, id: 9 })]);
    await bed.sends(A, udp4({ destinationPort: 54 }));
    await bed.sends(C, udp4());
    const misses = await bed.comesUp(2);
    assert.deepEqual(
      misses.map(({ key }) => [...key]),
      [[...keyFor(udp4({ destinationPort: 54 }), A)], [...keyFor(udp4(), C)]],
    );
    const [flow] = bed.datapath.flows();
    assert.deepEqual([flow!.packets, flow!.bytes], [2, udp4().length * 2]);
    assert.ok(flow!.idleMs >= 0 && flow!.idleMs < 60_000);
    await bed.counted('portTx', B, 0, 3);
  });

  it('every field of the key is told apart by a mask that marks it', async (bed) => {
    const pairs: [FieldName, Uint8Array, Uint8Array][] = [
      ['ethernetDestination', udp4(), udp4({ destination: MACS[2] })],
      ['vlan', udp4({ tags: [tag(7)] }), udp4({ tags: [tag(8)] })],
      ['innerVlan', udp4({ tags: [tag(7), tag(8)] }), udp4({ tags: [tag(7), tag(9)] })],
      ['etherType', udp4(), arp()],
      ['protocol', udp4(), tcp4()],
      ['tcpFlags', tcp4(2), tcp4(18)],
      ['source', arp(), udp4()],
      ['destination', udp6(), solicitation()],
      ['destinationPort', udp4(), udp4({ destinationPort: 54 })],
      ['fragment', udp4(), fragments4()[0]],
      ['translatedDestination', solicitation(), udp6()],
    ];
    for (const [field, hit, miss] of pairs) {
      const mask = newKey().fill(0xff, FIELD[field].at, FIELD[field].at + FIELD[field].bytes);
      mask.fill(0xff, FIELD.port.at, FIELD.port.at + 4);
      const key = keyFor(hit, A).map((byte, at) => byte & mask[at]!);
      bed.datapath.install([{ key, mask, actions: [output(B)] }]);
      await bed.sends(A, hit);
      await bed.sends(A, miss);
      assert.deepEqual(await bed.receives(B, 1), [hit], field);
      const [up] = await bed.comesUp(1);
      assert.deepEqual(up!.frame, miss, field);
      bed.datapath.remove([{ key, mask }]);
    }
  });

  it('a flow of the same key and mask is replaced and keeps its counts', async (bed) => {
    bed.flow(udp4(), A, [output(B)]);
    await bed.sends(A, udp4());
    await bed.receives(B, 1);
    bed.flow(udp4(), A, [output(C)]);
    await bed.sends(A, udp4());
    await bed.receives(B, 0);
    assert.deepEqual(await bed.receives(C, 1), [udp4()]);
    assert.deepEqual(
      bed.datapath.flows().map(({ packets, actions }) => ({ packets, actions })),
      [{ packets: 2, actions: [output(C)] }],
    );
  });

  it('a removed flow is not there, and one that is not there is passed over', async (bed) => {
    const flow = classOf(udp4(), A);
    const other = classOf(udp6(), A);
    bed.datapath.install([
      { ...flow, actions: [output(B)] },
      { ...other, actions: [output(C)] },
    ]);
    bed.datapath.remove([flow, classOf(arp(), A), classOf(udp4(), A, ['protocol']), flow]);
    await bed.sends(A, udp4());
    await bed.comesUp(1);
    await bed.sends(A, udp6());
    await bed.receives(C, 1);
    assert.deepEqual(plain(bed.datapath.flows()), plain([{ ...other, actions: [output(C)] }]));
  });

  it('what is installed is listed as it was given', async (bed) => {
    const lists: Action[][] = [
      [output(B)],
      [],
      [
        { kind: 'checkLength', mtuBytes: 1400 },
        { kind: 'decrementTtl', by: 2 },
        { kind: 'setEthernet', destination: MACS[1], source: MACS[2] },
        { kind: 'popVlan' },
        { kind: 'pushVlan', tci: 0x2007, tpid: 0x88a8 },
        { kind: 'count', counter: 4_000_000_000 },
        { kind: 'flood', flood: 4_194_303 },
        output(C),
      ],
      [{ kind: 'answerNeighbour', mac: MACS[2], router: true }],
      [{ kind: 'answerNeighbour', mac: MACS[1], router: false }],
      [{ kind: 'toAgent', cause: UP.service }],
      [{ kind: 'drop', reason: DROP.noRoute }],
      Array.from({ length: 30 }, (_, at) => output(at + 1)),
    ];
    const flows = lists.map((actions, at) => ({
      ...classOf(
        udp4({ destinationPort: at + 1 }),
        A,
        at % 2 === 0 ? ['destinationPort'] : ['destinationPort', 'source'],
      ),
      actions,
    }));
    bed.datapath.install(flows);
    const listed = bed.datapath.flows();
    assert.deepEqual(plain(listed), plain(flows));
    for (const { packets, bytes } of listed) assert.deepEqual([packets, bytes], [0, 0]);
  });

  it('of overlapping flows one decides, and the other when that one is gone', async (bed) => {
    const wide = classOf(udp4(), A);
    const narrow = classOf(udp4(), A, ['destinationPort']);
    bed.datapath.install([{ ...wide, actions: [output(B)] }]);
    bed.datapath.install([{ ...narrow, actions: [output(C)] }]);
    await bed.sends(A, udp4());
    const hit = () => bed.datapath.flows().filter(({ packets }) => packets > 0);
    await until(() => hit().length > 0);
    const used = hit();
    assert.equal(used.length, 1);
    const byWide = sameBytes(used[0]!.mask, wide.mask);
    await bed.receives(byWide ? B : C, 1);
    await bed.receives(byWide ? C : B, 0);
    bed.datapath.remove([byWide ? wide : narrow]);
    await bed.sends(A, udp4());
    await bed.receives(byWide ? C : B, 1);
    await bed.receives(byWide ? B : C, 0);
  });

  it('sixteen masks fit; a call with a seventeenth is refused whole', async (bed) => {
    const fields = (Object.keys(FIELD) as FieldName[]).filter(
      (name) => !['mask', 'port', 'flood', 'etherType'].includes(name),
    );
    const flowBy = (field: FieldName, port: number) => ({ ...classOf(udp4(), A, [field]), actions: [output(port)] });
    bed.datapath.install(fields.slice(0, 16).map((field) => flowBy(field, B)));
    const before = plain(bed.datapath.flows());
    assert.equal(before.length, 16);
    assert.throws(() => bed.datapath.install([flowBy(fields[0]!, C), flowBy(fields[16]!, C)]), DatapathFull);
    assert.deepEqual(plain(bed.datapath.flows()), before);
    bed.datapath.remove([flowBy(fields[3]!, B)]);
    bed.datapath.install([flowBy(fields[16]!, C)]);
    assert.equal(bed.datapath.flows().length, 16);
  });

  it('the same key under two masks is two flows', async (bed) => {
    const key: FlowKey = newKey();
    setU32(key, FIELD.port.at, A);
    const masks = [maskOf(), everything()];
    bed.datapath.install(masks.map((mask, at) => ({ key, mask, actions: [output(at + 1)] })));
    assert.equal(bed.datapath.flows().length, 2);
    bed.datapath.remove([{ key, mask: masks[0]! }]);
    assert.deepEqual(
      bed.datapath.flows().map(({ actions }) => actions),
      [[output(2)]],
    );
  });

  it('a page of flows is short, and tells what is there when it is asked for', async (bed) => {
    const flowsTo = (port: number) =>
      Array.from({ length: 500 }, (_, at) => ({
        ...classOf(udp4({ destinationPort: at + 1 }), A, ['destinationPort']),
        actions: [output(port)],
      }));
    bed.datapath.install(flowsTo(B));
    const pages = bed.datapath.flowPages()[Symbol.iterator]();
    const seen: FlowEntry[] = [];
    for (let page = pages.next(); !page.done; page = pages.next()) {
      assert.ok(page.value.length <= 100);
      seen.push(...page.value);
      if (seen.length === page.value.length) bed.datapath.install(flowsTo(C));
    }
    const to = (port: number) => seen.filter(({ actions }) => isDeepStrictEqual(actions, [output(port)]));
    assert.ok(to(B).length > 0 && to(B).length <= 100);
    assert.equal(to(B).length + to(C).length, 500);
    const bare = (flows: readonly FlowEntry[]) => plain(flows.map((flow) => ({ ...flow, actions: [] })));
    assert.deepEqual(bare(seen), bare(flowsTo(B)));
  });

  it('two thousand flows under one mask are told apart', async (bed) => {
    const flows = Array.from({ length: 2000 }, (_, at) => ({
      ...classOf(udp4({ destinationPort: at + 1 }), A, ['destinationPort']),
      actions: [output(at % 2 === 0 ? B : C)],
    }));
    bed.datapath.install(flows);
    await bed.sends(A, udp4({ destinationPort: 1001 }));
    await bed.sends(A, udp4({ destinationPort: 2000 }));
    assert.deepEqual(await bed.receives(B, 1), [udp4({ destinationPort: 1001 })]);
    assert.deepEqual(await bed.receives(C, 1), [udp4({ destinationPort: 2000 })]);
    assert.equal(bed.datapath.flows().length, 2000);
    assert.deepEqual(plain([...bed.datapath.flowPages()].flat()), plain(flows));
    bed.datapath.remove(flows.slice(0, 1999));
    assert.equal(bed.datapath.flows().length, 1);
  });
}
