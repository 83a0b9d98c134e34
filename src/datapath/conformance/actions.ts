// Conformance: each step does to a packet what applyActions does, and exceptions go up as they came in.

import assert from 'node:assert/strict';
import type { Action } from '../../flow/actions.ts';
import { applyActions } from '../../flow/apply.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { type Bed, FLOOD, type Open, output, PORTS, withBed } from './bed.ts';
import { arp, keyFor, MACS, solicitation, tag, udp4, udp6 } from './frames.ts';

const [A, B, C] = PORTS;
const setEthernet: Action = { kind: 'setEthernet', destination: MACS[2], source: MACS[1] };

/** What the outputs of a list are, by the twin. */
function expected(actions: readonly Action[], frame: Uint8Array): Uint8Array[] {
  return applyActions(actions, frame, keyFor(frame, A)).outputs.map((out) => out.frame);
}

export function actionCases(open: Open): void {
  const it = (name: string, body: (bed: Bed) => Promise<void>) => withBed(open, name, body);

  const rewrites: readonly (readonly [string, readonly Action[], readonly Uint8Array[]])[] = [
    ['MACs are set', [setEthernet, output(B)], [udp4(), udp6(), arp(), udp4({ tags: [tag(4)] })]],
    [
      'TTL and hop limit go down, the checksum follows',
      [{ kind: 'decrementTtl', by: 3 }, output(B)],
      [udp4({ ttl: 4 }), udp4({ ttl: 255, id: 0xfffe }), udp6({ ttl: 4 }), udp4({ tags: [tag(4), tag(5)] })],
    ],
    [
      'tags are pushed and popped',
      [{ kind: 'popVlan' }, { kind: 'pushVlan', tci: 0x200c, tpid: 0x8100 }, output(B)],
      [udp4(), udp4({ tags: [tag(4)] }), udp6({ tags: [tag(4), tag(5)] }), arp(1, [tag(4)])],
    ],
    [
      'two tags are pushed, the last one outermost',
      [{ kind: 'pushVlan', tci: 7, tpid: 0x8100 }, { kind: 'pushVlan', tci: 8, tpid: 0x88a8 }, output(B)],
      [udp4(), udp6()],
    ],
    [
      'a routed hop is done as a whole',
      [{ kind: 'checkLength', mtuBytes: 1500 }, { kind: 'decrementTtl', by: 1 }, setEthernet, output(B)],
      [udp4(), udp6(), udp4({ payloadBytes: 1472 }), udp6({ payloadBytes: 1452 })],
    ],
  ];
  for (const [name, actions, frames] of rewrites) {
    it(name, async (bed) => {
      for (const frame of frames) {
        bed.flow(frame, A, actions, ['vlan', 'innerVlan']);
        await bed.sends(A, frame);
        assert.deepEqual(await bed.receives(B, 1), expected(actions, frame));
      }
    });
  }

  it('several outputs each have what the packet was by then', async (bed) => {
    const actions: Action[] = [
      output(B),
      { kind: 'decrementTtl', by: 1 },
      setEthernet,
      output(C),
      { kind: 'pushVlan', tci: 9, tpid: 0x8100 },
      output(B),
      output(A),
    ];
    bed.flow(udp4(), A, actions);
    await bed.sends(A, udp4());
    const [first, second, third, back] = expected(actions, udp4());
    assert.deepEqual(await bed.receives(B, 2), [first, third]);
    assert.deepEqual(await bed.receives(C, 1), [second]);
    assert.deepEqual(await bed.receives(A, 1), [back]);
  });

  it('a list of many steps is carried out to its end', async (bed) => {
    const actions: Action[] = [];
    for (let n = 0; n < 20; n++) actions.push({ kind: 'count', counter: 100 + n });
    actions.push(setEthernet, output(B), output(C));
    bed.flow(udp4(), A, actions);
    await bed.sends(A, udp4());
    assert.deepEqual(await bed.receives(B, 1), expected([setEthernet, output(B)], udp4()));
    await bed.receives(C, 1);
    for (let n = 0; n < 20; n++) await bed.counted('rule', 100 + n, 0, 1);
  });

  it('a packet whose TTL is used up goes up as it came in', async (bed) => {
    const actions: Action[] = [{ kind: 'decrementTtl', by: 2 }, setEthernet, output(B)];
    for (const frame of [udp4({ ttl: 2 }), udp6({ ttl: 1 })]) {
      bed.flow(frame, A, actions);
      await bed.sends(A, frame);
      const [miss] = await bed.comesUp(1);
      assert.deepEqual([miss!.cause, miss!.frame, miss!.key], [UP.ttl, frame, keyFor(frame, A)]);
    }
    await bed.receives(B, 0);
    await bed.counted('up', UP.ttl, A, 2);
  });

  it('a packet longer than the MTU goes up as it came in, and says the MTU', async (bed) => {
    const actions: Action[] = [
      { kind: 'checkLength', mtuBytes: 1000 },
      { kind: 'decrementTtl', by: 1 },
      setEthernet,
      output(B),
    ];
    bed.flow(udp4(), A, actions);
    await bed.sends(A, udp4({ payloadBytes: 973 }));
    const [miss] = await bed.comesUp(1);
    assert.deepEqual([miss!.cause, miss!.detail, miss!.frame], [UP.tooLong, 1000, udp4({ payloadBytes: 973 })]);
    await bed.receives(B, 0);
    await bed.sends(A, udp4({ payloadBytes: 972 }));
    await bed.receives(B, 1);
  });

  it('a drop is counted by its reason at the port, and an empty list drops by policy', async (bed) => {
    bed.flow(udp4(), A, [
      { kind: 'count', counter: 5 },
      { kind: 'drop', reason: DROP.blackhole },
    ]);
    bed.flow(udp6(), A, []);
    await bed.sends(A, udp4());
    await bed.sends(A, udp4());
    await bed.sends(A, udp6());
    await bed.dropped('blackhole', A, 2);
    await bed.dropped('policy', A);
    await bed.counted('rule', 5, 0, 2);
    assert.equal(bed.packets('drop', DROP.blackhole, B), 0);
  });

  it('what a flow sends to the agent comes up with its cause, each packet of it', async (bed) => {
    bed.flow(udp4(), A, [output(B), { kind: 'toAgent', cause: UP.service }, output(C)]);
    bed.flow(udp6(), A, [{ kind: 'toAgent', cause: UP.packet }]);
    for (let n = 0; n < 3; n++) await bed.sends(A, udp4());
    await bed.sends(A, udp6());
    assert.deepEqual(
      (await bed.comesUp(4)).map(({ cause, frame }) => [cause, frame]),
      [
        [UP.service, udp4()],
        [UP.service, udp4()],
        [UP.service, udp4()],
        [UP.packet, udp6()],
      ],
    );
    await bed.receives(B, 3);
    await bed.receives(C, 0);
  });

  it('an ARP request is answered out of its own port', async (bed) => {
    const actions: Action[] = [{ kind: 'answerNeighbour', mac: MACS[2], router: false }];
    for (const frame of [arp(), arp(1, [tag(6)])]) {
      bed.flow(frame, A, actions, ['protocol', 'vlan']);
      await bed.sends(A, frame);
      assert.deepEqual(await bed.receives(A, 1), expected(actions, frame));
    }
    assert.equal(bed.packets('drop', DROP.localOnly, A), 0);
  });

  it('a neighbour solicitation is answered: to the asker, or to all when the asker has no address', async (bed) => {
    for (const router of [true, false]) {
      const actions: Action[] = [{ kind: 'answerNeighbour', mac: MACS[2], router }];
      for (const frame of [solicitation(), solicitation(0n as never)]) {
        bed.flow(frame, A, actions);
        await bed.sends(A, frame);
        assert.deepEqual(await bed.receives(A, 1), expected(actions, frame));
      }
    }
  });

  it('what is no question gets no answer', async (bed) => {
    for (const frame of [arp(2), udp4(), udp6()]) {
      bed.flow(frame, A, [{ kind: 'answerNeighbour', mac: MACS[2], router: true }]);
      await bed.sends(A, frame);
    }
    await bed.dropped('localOnly', A, 3);
    await bed.receives(A, 0);
  });

  it('the walk for a member of a flood does not flood again', async (bed) => {
    bed.datapath.setFlood(FLOOD, { members: [A, B], hosts: [] });
    bed.flow(udp4(), A, [{ kind: 'flood', flood: FLOOD }]);
    bed.flow(udp4(), B, [{ kind: 'flood', flood: FLOOD }], [], FLOOD);
    await bed.sends(A, udp4());
    await bed.dropped('hopLimit', B);
    await bed.receives(A, 0);
    await bed.receives(B, 0);
  });
}
