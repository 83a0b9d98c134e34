import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatIp, type Ip4, type Ip6, type Mac, parseIp4, parseIp6, parseMac, readMac } from '../packet/address.ts';
import { ARP, emitArp, parseArp } from '../packet/arp.ts';
import { checksumOf, pseudoSumOf } from '../packet/checksum.ts';
import { ETHER_TYPE, emitEthernet, parseEthernet, type VlanTag } from '../packet/ethernet.ts';
import { emitIpv4, PROTOCOL, parseIpv4 } from '../packet/ipv4.ts';
import { emitIpv6, parseIpv6 } from '../packet/ipv6.ts';
import { emitNd, type NdOption, parseNd } from '../packet/nd.ts';
import { emitUdp } from '../packet/udp.ts';
import type { Action } from './actions.ts';
import { applyActions, type Output } from './apply.ts';
import { FIELD, setU32 } from './fields.ts';
import { keyOfFrame } from './key.ts';
import { DROP, UP } from './reasons.ts';

const mac = (text: string): Mac => parseMac(text)!;
const GUEST = mac('02:00:00:00:00:01');
const PEER = mac('02:00:00:00:00:02');
const ROUTER = mac('02:00:00:00:00:fe');
const IP4 = [parseIp4('10.0.0.1')!, parseIp4('10.0.0.2')!] as const;
const IP6 = [parseIp6('fd00::1')!, parseIp6('fd00::2')!] as const;
const NO_BYTES = new Uint8Array(0);

const tag = (vlan: number): VlanTag => ({ tpid: ETHER_TYPE.vlan, priority: 0, dropEligible: false, vlan });

function ethernet(etherType: number, payload: Uint8Array, tags: VlanTag[] = [], destination = PEER): Uint8Array {
  return emitEthernet({ destination, source: GUEST, tags, etherType }, payload);
}

function udp4(ttl: number, payload = new Uint8Array(20), tags: VlanTag[] = [], id = 7): Uint8Array {
  const header = { trafficClass: 0, id, dontFragment: false, moreFragments: false, fragmentOffset: 0 };
  const addresses = { source: IP4[0], destination: IP4[1] };
  const body = emitUdp({ sourcePort: 1000, destinationPort: 53 }, payload, ...IP4);
  const packet = emitIpv4({ ...header, ...addresses, ttl, protocol: PROTOCOL.udp, options: NO_BYTES }, body);
  return ethernet(ETHER_TYPE.ip4, packet, tags);
}

function ip6(hopLimit: number, protocol: number, body: Uint8Array, source: Ip6, destination: Ip6): Uint8Array {
  const header = { trafficClass: 0, flowLabel: 0x12345, hopLimit, extensions: [], protocol, source, destination };
  return ethernet(ETHER_TYPE.ip6, emitIpv6(header, body));
}

function udp6(hopLimit: number): Uint8Array {
  const body = emitUdp({ sourcePort: 1000, destinationPort: 53 }, new Uint8Array(20), ...IP6);
  return ip6(hopLimit, PROTOCOL.udp, body, ...IP6);
}

function apply(actions: Action[], frame: Uint8Array, flood = 0) {
  const { key } = keyOfFrame(frame, 3, flood);
  assert.ok(key !== undefined);
  const before = frame.slice();
  const outcome = applyActions(actions, frame, key);
  assert.deepEqual(frame, before, 'the input was written to');
  return outcome;
}

function only(actions: Action[], frame: Uint8Array): Output {
  const { outputs } = apply(actions, frame);
  assert.equal(outputs.length, 1);
  return outputs[0]!;
}

const output = (port: number): Action => ({ kind: 'output', port });

test('an output passes the frame as it is', () => {
  const frame = udp4(64);
  assert.deepEqual(only([output(7)], frame), { kind: 'output', port: 7, frame });
});

test('a list that puts nothing out drops by policy', () => {
  const frame = udp4(64);
  assert.deepEqual(only([], frame), { kind: 'drop', reason: DROP.policy, frame });
  assert.deepEqual(apply([{ kind: 'count', counter: 5 }], frame).counts, [5]);
});

test('the TTL goes down by as much as is said, and the checksum of the header stays right', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 255 }), fc.integer({ min: 1, max: 8 }), fc.nat(0xffff), (ttl, by, id) => {
      const out = only([{ kind: 'decrementTtl', by }, output(7)], udp4(ttl, NO_BYTES, [], id));
      if (ttl <= by) {
        assert.deepEqual([out.kind, 'cause' in out && out.cause], ['up', UP.ttl]);
        assert.deepEqual(out.frame, udp4(ttl, NO_BYTES, [], id));
        return;
      }
      assert.equal(out.kind, 'output');
      assert.equal(parseIpv4(out.frame, 14, out.frame.length)!.ttl, ttl - by);
      assert.equal(checksumOf(out.frame, 14, 34), 0);
    }),
  );
});

test('the hop limit goes down behind VLAN tags too', () => {
  assert.equal(only([{ kind: 'decrementTtl', by: 2 }, output(7)], udp6(9)).frame[14 + 7], 7);
  assert.equal(
    only([{ kind: 'decrementTtl', by: 1 }, output(7)], udp4(9, NO_BYTES, [tag(5), tag(6)])).frame[22 + 8],
    8,
  );
  assert.deepEqual(only([{ kind: 'decrementTtl', by: 2 }, output(7)], udp6(2)), {
    kind: 'up',
    cause: UP.ttl,
    detail: 0,
    frame: udp6(2),
  });
});

test('two decrements count together', () => {
  const twice: Action[] = [{ kind: 'decrementTtl', by: 2 }, { kind: 'decrementTtl', by: 3 }, output(1)];
  assert.equal(only(twice, udp4(6)).frame[22], 1);
  assert.deepEqual(only(twice, udp4(5)).frame, udp4(5));
});

test('a packet longer than the MTU goes up as it came in, and says the MTU', () => {
  const frame = udp4(64, new Uint8Array(1473));
  const check: Action[] = [{ kind: 'decrementTtl', by: 1 }, { kind: 'checkLength', mtuBytes: 1500 }, output(7)];
  assert.deepEqual(only(check, frame), { kind: 'up', cause: UP.tooLong, detail: 1500, frame });
  assert.equal(only(check, udp4(64, new Uint8Array(1472))).kind, 'output');
  assert.equal(only(check, udp4(64, new Uint8Array(1472), [tag(1)])).kind, 'output');
  assert.equal(applyActions(check, frame, keyOfFrame(frame, 3).key, 1500).outputs[0]!.kind, 'output');
});

test('MACs and tags change in order, each output has what was there by then', () => {
  const frame = udp4(64, NO_BYTES, [tag(5)]);
  const { outputs } = apply(
    [
      output(1),
      { kind: 'popVlan' },
      output(2),
      { kind: 'setEthernet', destination: ROUTER, source: PEER },
      { kind: 'pushVlan', tci: 9, tpid: ETHER_TYPE.qinq },
      { kind: 'pushVlan', tci: 0x2008, tpid: ETHER_TYPE.vlan },
      { kind: 'flood', flood: 40 },
    ],
    frame,
  );
  assert.deepEqual(
    outputs.map((out) => ('port' in out ? out.port : 'flood' in out ? -out.flood : 0)),
    [1, 2, -40],
  );
  assert.deepEqual(outputs[0]!.frame, frame);
  assert.deepEqual(outputs[1]!.frame, udp4(64, NO_BYTES));
  const last = parseEthernet(outputs[2]!.frame, 0, outputs[2]!.frame.length)!;
  assert.deepEqual([last.destination, last.source, last.etherType], [ROUTER, PEER, ETHER_TYPE.ip4]);
  assert.deepEqual(
    last.tags.map(({ tpid, priority, vlan }) => [tpid, priority, vlan]),
    [
      [ETHER_TYPE.vlan, 1, 8],
      [ETHER_TYPE.qinq, 0, 9],
    ],
  );
});

test('a frame without a tag loses none', () => {
  assert.deepEqual(only([{ kind: 'popVlan' }, output(1)], udp4(64)).frame, udp4(64));
});

test('a flood in the walk for a member is dropped: it would go round', () => {
  const { outputs } = apply([{ kind: 'flood', flood: 40 }, output(1)], udp4(64), 40);
  assert.deepEqual(
    outputs.map((out) => out.kind === 'drop' && out.reason),
    [DROP.hopLimit],
  );
});

test('what goes to the agent, is dropped or answered ends the list; what was put out before stays', () => {
  const { outputs, counts } = apply(
    [
      output(1),
      { kind: 'count', counter: 4 },
      { kind: 'toAgent', cause: UP.service },
      output(2),
      { kind: 'count', counter: 5 },
    ],
    udp4(64),
  );
  assert.deepEqual(
    outputs.map(({ kind }) => kind),
    ['output', 'up'],
  );
  assert.deepEqual(counts, [4]);
  assert.equal(apply([{ kind: 'drop', reason: DROP.noRoute }, output(2)], udp4(64)).outputs.length, 1);
});

function arp(operation: number, tags: VlanTag[] = [], padding = 0): Uint8Array {
  const header = { operation, senderMac: GUEST, senderIp: IP4[0], targetMac: 0 as Mac, targetIp: IP4[1] };
  const payload = new Uint8Array(28 + padding);
  payload.set(emitArp(header));
  return ethernet(ETHER_TYPE.arp, payload, tags, 0xffffffffffff as Mac);
}

test('an ARP request becomes its reply, in its tags and of its length', () => {
  for (const [tags, padding] of [[[], 0] as const, [[tag(5)], 18] as const]) {
    const request = arp(ARP.request, [...tags], padding);
    const out = only([{ kind: 'answerNeighbour', mac: ROUTER, router: false }], request);
    assert.equal(out.kind, 'answer');
    assert.equal(out.frame.length, request.length);
    const { destination, source, payloadAt, tags: kept } = parseEthernet(out.frame, 0, out.frame.length)!;
    assert.deepEqual([destination, source, kept.length], [GUEST, ROUTER, tags.length]);
    assert.deepEqual(parseArp(out.frame, payloadAt, out.frame.length), {
      operation: ARP.reply,
      senderMac: ROUTER,
      senderIp: IP4[1] as Ip4,
      targetMac: GUEST,
      targetIp: IP4[0] as Ip4,
    });
  }
});

test('what asks nothing gets no answer', () => {
  for (const frame of [arp(ARP.reply), udp4(64), udp6(64)]) {
    const out = only([{ kind: 'answerNeighbour', mac: ROUTER, router: false }], frame);
    assert.deepEqual(out, { kind: 'drop', reason: DROP.localOnly, frame });
  }
});

function solicitation(source: Ip6, options: NdOption[]): Uint8Array {
  const group = parseIp6('ff02::1:ff00:2')!;
  const message = emitNd({ kind: 'neighbourSolicitation', target: IP6[1], options }, source, group);
  return ip6(255, PROTOCOL.icmp6, message, source, group);
}

function advertisementFor(request: Uint8Array, router: boolean) {
  const out = only([{ kind: 'answerNeighbour', mac: ROUTER, router }], request);
  assert.equal(out.kind, 'answer');
  assert.equal(out.frame.length, 86);
  const ip = parseIpv6(out.frame, 14, out.frame.length)!;
  const sum = pseudoSumOf(ip.source, ip.destination, PROTOCOL.icmp6, ip.end - ip.payloadAt);
  assert.equal(checksumOf(out.frame, ip.payloadAt, ip.end, sum), 0);
  assert.deepEqual([ip.hopLimit, ip.source, readMac(out.frame, 6)], [255, IP6[1], ROUTER]);
  const message = parseNd(out.frame, ip.payloadAt, ip.end)!;
  assert.equal(message.kind, 'neighbourAdvertisement');
  return { ip, message, destination: readMac(out.frame, 0) };
}

test('a neighbour solicitation becomes an advertisement: solicited, override, with the link-layer address', () => {
  for (const options of [[{ kind: 'sourceLinkAddress' as const, mac: GUEST }], []]) {
    const { ip, message, destination } = advertisementFor(solicitation(IP6[0], options), true);
    assert.deepEqual([formatIp(ip.destination), destination], ['fd00::1', GUEST]);
    assert.deepEqual(message, {
      kind: 'neighbourAdvertisement',
      router: true,
      solicited: true,
      override: true,
      target: IP6[1],
      options: [{ kind: 'targetLinkAddress', mac: ROUTER }],
    });
  }
});

test('a solicitation from the unspecified address is answered to all nodes, unsolicited', () => {
  const { ip, message, destination } = advertisementFor(solicitation(0n as Ip6, []), false);
  assert.deepEqual([formatIp(ip.destination), destination], ['ff02::1', mac('33:33:00:00:00:01')]);
  assert.ok(message.kind === 'neighbourAdvertisement' && !message.solicited && message.override && !message.router);
});

test('any frame that has a key is taken by any list', () => {
  const actions: fc.Arbitrary<Action> = fc.oneof(
    fc.constantFrom<Action>(
      { kind: 'popVlan' },
      { kind: 'setEthernet', destination: ROUTER, source: PEER },
      { kind: 'answerNeighbour', mac: ROUTER, router: true },
      { kind: 'checkLength', mtuBytes: 60 },
      { kind: 'flood', flood: 8 },
      output(3),
    ),
    fc.record({ kind: fc.constant('decrementTtl' as const), by: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ kind: fc.constant('pushVlan' as const), tci: fc.nat(0xffff), tpid: fc.constantFrom(0x8100, 0x88a8) }),
  );
  const frames = fc.oneof(
    fc.uint8Array({ minLength: 14, maxLength: 80 }),
    fc.constantFrom(udp4(3), udp6(3), arp(1), solicitation(IP6[0], []), udp4(9, NO_BYTES, [tag(1), tag(2)])),
  );
  fc.assert(
    fc.property(frames, fc.array(actions, { maxLength: 6 }), fc.boolean(), (frame, list, member) => {
      const { key } = keyOfFrame(frame, 3);
      fc.pre(key !== undefined);
      if (member) setU32(key, FIELD.flood.at, 8);
      const { outputs } = applyActions(list, frame, key);
      assert.ok(outputs.length > 0);
      for (const out of outputs) assert.ok(out.frame.length >= 14);
    }),
  );
});
