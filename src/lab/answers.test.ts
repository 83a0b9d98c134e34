// What programs print, as values.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIperf } from './iperf.ts';
import { median, parsePing } from './ping.ts';
import { parseTraceroute } from './traceroute.ts';

test('ping: replies, their times and duplicates', () => {
  const result = parsePing(`PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.
64 bytes from 10.0.0.2: icmp_seq=1 ttl=63 time=1.20 ms
64 bytes from 10.0.0.2: icmp_seq=2 ttl=63 time=0.101 ms
64 bytes from 10.0.0.2: icmp_seq=2 ttl=63 time=0.201 ms (DUP!)

--- 10.0.0.2 ping statistics ---
2 packets transmitted, 2 received, +1 duplicates, 0% packet loss, time 101ms
rtt min/avg/max/mdev = 0.101/0.650/1.200/0.549 ms
`);
  assert.deepEqual(result, { sent: 2, received: 2, duplicates: 1, timesMs: [1.2, 0.101], errors: [] });
});

test('ping: ICMP errors of both families with their sender and MTU', () => {
  const result = parsePing(`PING 10.0.0.2 (10.0.0.2) 1472(1500) bytes of data.
From 10.0.0.1 icmp_seq=1 Frag needed and DF set (mtu = 1400)
From 10.0.0.1 icmp_seq=2 Destination Net Unreachable
From fd00::1 icmp_seq=3 Packet too big: mtu=1400
ping: local error: message too long, mtu=1400

--- 10.0.0.2 ping statistics ---
3 packets transmitted, 0 received, +4 errors, 100% packet loss, time 2002ms
`);
  assert.equal(result.received, 0);
  assert.deepEqual(result.errors, [
    { from: '10.0.0.1', text: 'Frag needed and DF set (mtu = 1400)', mtuBytes: 1400 },
    { from: '10.0.0.1', text: 'Destination Net Unreachable' },
    { from: 'fd00::1', text: 'Packet too big: mtu=1400', mtuBytes: 1400 },
    { from: undefined, text: 'message too long, mtu=1400', mtuBytes: 1400 },
  ]);
});

test('ping that never ran is an error, not a loss', () => {
  assert.throws(() => parsePing('ping: unknown host'), /did not run/);
});

test('traceroute: hops, silence and notes', () => {
  const hops = parseTraceroute(`traceroute to 10.0.2.2 (10.0.2.2), 8 hops max, 60 byte packets
 1  10.0.1.1  0.312 ms
 2  *
 3  100.64.0.1  0.211 ms !N
`);
  assert.deepEqual(hops, [{ address: '10.0.1.1' }, { address: undefined }, { address: '100.64.0.1', note: '!N' }]);
});

test('iperf3: what the receiver saw, and a refusal as an error', () => {
  const sums = { sum_sent: { bits_per_second: 2e9, retransmits: 3 }, sum_received: { bits_per_second: 1.9e9 } };
  assert.deepEqual(parseIperf(JSON.stringify({ end: sums })), {
    bitsPerSecond: 1.9e9,
    retransmits: 3,
    packets: 0,
    lostPackets: 0,
  });
  assert.throws(() => parseIperf('{"error": "unable to connect to server"}'), /unable to connect/);
});

test('the median of nothing is 0', () => {
  assert.equal(median([]), 0);
  assert.equal(median([3, 1, 2]), 2);
});
