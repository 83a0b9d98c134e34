import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mac, parseMac, parsePrefix } from '../packet/address.ts';
import {
  ETHER_TYPE,
  FIELD,
  type FlowKey,
  markField,
  markPrefix,
  newKey,
  PROTOCOL,
  setIp,
  setMac,
  setU16,
  setU32,
  VLAN_BITS,
  VLAN_PRESENT,
} from './fields.ts';
import { formatActions, formatCause, formatMatch, formatTag, formatTags } from './format.ts';
import { DROP, UP } from './reasons.ts';

const ip = (text: string) => parsePrefix(text)!.ip;
const A: Mac = parseMac('02:00:00:00:00:01')!;
const B: Mac = parseMac('02:00:00:00:00:02')!;

function ipKey(protocol: number, source: string, destination: string): FlowKey {
  const key = newKey();
  setU32(key, FIELD.port.at, 3);
  setU16(key, FIELD.etherType.at, source.includes(':') ? ETHER_TYPE.ip6 : ETHER_TYPE.ip4);
  key[FIELD.protocol.at] = protocol;
  setMac(key, FIELD.ethernetSource.at, A);
  setMac(key, FIELD.ethernetDestination.at, B);
  setIp(key, FIELD.source.at, ip(source));
  setIp(key, FIELD.destination.at, ip(destination));
  return key;
}

test('a match tells what is marked and nothing else', () => {
  const key = ipKey(PROTOCOL.udp, '10.0.1.7', '10.0.2.9');
  setU16(key, FIELD.destinationPort.at, 53);
  const mask = newKey();
  assert.equal(formatMatch(key, mask), 'any');
  markField(mask, FIELD.port);
  markField(mask, FIELD.etherType);
  markPrefix(mask, FIELD.destination.at, 24, 4);
  assert.equal(formatMatch(key, mask), 'port=3 eth=ip4 dst=10.0.2.0/24');
  markField(mask, FIELD.vlan);
  markField(mask, FIELD.protocol);
  markField(mask, FIELD.destinationPort);
  markPrefix(mask, FIELD.source.at, 32, 4);
  assert.equal(formatMatch(key, mask), 'port=3 eth=ip4 vlan=none proto=udp src=10.0.1.7 dst=10.0.2.0/24 dport=53');
});

test('a whole key tells the fields that such a packet has', () => {
  const udp = ipKey(PROTOCOL.udp, '10.0.1.7', '10.0.2.9');
  setU16(udp, FIELD.vlan.at, VLAN_PRESENT | 0x6000 | 100);
  assert.equal(
    formatMatch(udp),
    'port=3 eth=ip4 eth-src=02:00:00:00:00:01 eth-dst=02:00:00:00:00:02 vlan=100.p3 inner-vlan=none proto=udp src=10.0.1.7 dst=10.0.2.9 tos=0x00 fragment=none sport=0 dport=0',
  );
  udp[FIELD.vlanBits.at] = VLAN_BITS.vlan.service | VLAN_BITS.innerVlan.dropEligible;
  setU16(udp, FIELD.innerVlan.at, VLAN_PRESENT | 7);
  assert.match(formatMatch(udp), / vlan=s100\.p3 inner-vlan=7\.dei proto=/);
  const tcp = ipKey(PROTOCOL.tcp, 'fd00::1', 'fd00::2');
  tcp[FIELD.tcpFlags.at] = 0x12;
  assert.match(formatMatch(tcp), / proto=tcp src=fd00::1 dst=fd00::2 .* sport=0 dport=0 flags=syn,ack$/);
  const other = newKey();
  setU16(other, FIELD.etherType.at, 0x88cc);
  assert.match(formatMatch(other), / eth=0x88cc eth-src=\S+ eth-dst=\S+ vlan=none$/);
});

test('ARP and neighbour discovery are told in their own terms', () => {
  const arp = newKey();
  setU16(arp, FIELD.etherType.at, ETHER_TYPE.arp);
  arp[FIELD.protocol.at] = 1;
  setMac(arp, FIELD.source.at, A);
  setIp(arp, FIELD.source.at, ip('10.0.0.1'));
  setIp(arp, FIELD.destination.at, ip('10.0.0.2'));
  assert.match(
    formatMatch(arp),
    / op=request sender=10.0.0.1 sender-mac=02:00:00:00:00:01 target=10.0.0.2 target-mac=00:00:00:00:00:00$/,
  );
  const nd = ipKey(PROTOCOL.icmp6, 'fe80::1', 'ff02::1:ff00:2');
  setU16(nd, FIELD.sourcePort.at, 135);
  setIp(nd, FIELD.translatedDestination.at, ip('fd00::2'));
  setMac(nd, FIELD.translatedSource.at, A);
  assert.match(formatMatch(nd), / type=135 code=0 nd-target=fd00::2 nd-mac=02:00:00:00:00:01$/);
});

test('a look-up for a member of a flood names the flood', () => {
  const key = ipKey(PROTOCOL.tcp, '10.0.0.1', '10.0.0.2');
  setU32(key, FIELD.flood.at, 77);
  assert.match(formatMatch(key), /^port=3 flood=77 eth=ip4 /);
});

test('bits that are no prefix and no whole field are told with their mask', () => {
  const key = ipKey(PROTOCOL.tcp, '10.0.0.1', '10.0.3.2');
  key[FIELD.tcpFlags.at] = 0x12;
  const mask = newKey();
  mask[FIELD.tcpFlags.at] = 0x02;
  mask[FIELD.destination.at + 14] = 0xff;
  mask[FIELD.source.at + 12] = 0xfe;
  assert.equal(formatMatch(key, mask), 'src=10.0.0.0/7 dst=0.0.3.0/0.0.255.0 flags=syn/0x02');
});

test('actions read in the order in which they happen', () => {
  assert.equal(
    formatActions([
      { kind: 'checkLength', mtuBytes: 1500 },
      { kind: 'decrementTtl', by: 1 },
      { kind: 'setEthernet', destination: B, source: A },
      { kind: 'popVlan' },
      { kind: 'pushVlan', tci: 7, tpid: 0x8100 },
      { kind: 'pushVlan', tci: 0x2008, tpid: 0x88a8 },
      { kind: 'count', counter: 12 },
      { kind: 'flood', flood: 40 },
      { kind: 'output', port: 7 },
    ]),
    'mtu 1500 ttl-1 eth(02:00:00:00:00:01>02:00:00:00:00:02) pop-vlan push-vlan 7 push-vlan 8.p1 tpid 0x88a8 count 12 flood 40 output 7',
  );
  assert.equal(
    formatActions([{ kind: 'answerNeighbour', mac: A, router: true }]),
    'answer-neighbour 02:00:00:00:00:01 router',
  );
  assert.equal(formatActions([{ kind: 'toAgent', cause: UP.service }]), 'to-agent service');
  assert.equal(formatActions([{ kind: 'drop', reason: DROP.noRoute }]), 'drop (no route)');
  assert.equal(formatActions([]), 'none');
  assert.equal(formatCause(UP.memberMiss), 'member-miss');
});

test('tags are told once each, in order', () => {
  assert.equal(formatTag({ question: 'routes/r', prefix: parsePrefix('10.0.3.0/24')! }), 'routes/r 10.0.3.0/24');
  assert.deepEqual(
    formatTags([
      { question: 'port/p' },
      { question: 'chain/c', upTo: Number.POSITIVE_INFINITY },
      { question: 'chain/c', upTo: 4 },
      { question: 'port/p' },
    ]),
    ['chain/c to the end', 'chain/c up to 4', 'port/p'],
  );
});
