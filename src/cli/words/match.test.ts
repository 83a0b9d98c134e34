import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeServer, idOf, runAgainst } from '../testing/fake-server.ts';

const server = (): FakeServer =>
  new FakeServer()
    .add('chain', { id: idOf(1), name: 'c1' })
    .add('chain', { id: idOf(2), name: 'c2' })
    .add('addressSet', { id: idOf(3), name: 'friends' })
    .add('router', { id: idOf(4), name: 'edge' });

async function bodyOf(words: string, ...more: string[]): Promise<unknown> {
  const fake = server();
  const { code, error } = await runAgainst(fake, 'rule', 'create', ...words.split(' '), ...more);
  assert.equal(code, 0, error);
  return fake.writes[0]?.body;
}

test('conditions are flags, and not names them', async () => {
  const words = '--chain c1 --drop --protocol tcp --destination-ports 80-90 --source 10.0.0.0/8 --not source';
  assert.deepEqual(await bodyOf(words), {
    chainId: idOf(1),
    action: 'drop',
    match: { protocol: 6, destinationPorts: { from: 80, to: 90 }, source: '10.0.0.0/8', not: ['source'] },
  });
});

test('protocols, types, flags, MACs and single ports have their own words', async () => {
  const words =
    '--chain c1 --accept --ether-type ip6 --protocol 89 --source-ports 53 --tcp-flags syn/syn+ack --ether-source 02:00:00:00:00:00/ff:00:00:00:00:00 --untagged --invert';
  assert.deepEqual(await bodyOf(words), {
    chainId: idOf(1),
    action: 'accept',
    match: {
      etherType: 0x86dd,
      protocol: 89,
      sourcePorts: { from: 53, to: 53 },
      tcpFlags: { set: 2, of: 18 },
      etherSource: { mac: '02:00:00:00:00:00', mask: 'ff:00:00:00:00:00' },
      untagged: true,
      invert: true,
    },
  });
});

test('sets, devices and chains are named', async () => {
  assert.deepEqual(await bodyOf('--chain c1 --jump c2 --source-set friends --traversed-device edge --position 5'), {
    chainId: idOf(1),
    position: 5,
    action: 'jump',
    jumpChainId: idOf(2),
    match: { sourceSetId: idOf(3), traversedDeviceId: idOf(4) },
  });
});

test('a condition that is none, a range or flags that are none are refused', async () => {
  const refusals: [string, RegExp][] = [
    ['--not colour', /--not: colour is no condition; there are fragments, in-ports/],
    ['--destination-ports 1-2-3', /--destination-ports is a port or a range like 80-90, not 1-2-3/],
    ['--destination-ports http', /--destination-ports is a whole number, not http/],
    ['--tcp-flags syn', /--tcp-flags is SET\/LOOKED-AT like syn\/syn\+ack, not syn/],
    ['--tcp-flags sin/ack', /--tcp-flags: sin is no TCP flag/],
    ['--protocol tpc', /--protocol is a number or one of icmp, tcp, udp, icmp6, sctp, not tpc/],
  ];
  for (const [words, said] of refusals) {
    const { code, error } = await runAgainst(server(), 'rule', 'create', '--chain', 'c1', ...words.split(' '));
    assert.equal(code, 2);
    assert.match(error, said);
  }
});

test('a condition is changed alone and removed with none', async () => {
  const fake = server().add('rule', { id: idOf(9), chainId: idOf(1) });
  await runAgainst(fake, 'rule', 'set', idOf(9), '--protocol', 'udp', '--source', 'none', '--reject');
  assert.deepEqual(fake.writes[0]?.body, { match: { protocol: 17, source: null }, action: 'reject' });
});

test('a list shows rules in their order, with conditions in the words of the flags', async () => {
  const fake = server()
    .add('rule', { id: idOf(11), chainId: idOf(1), position: 2, action: 'accept', match: { not: [], invert: false } })
    .add('rule', {
      id: idOf(10),
      chainId: idOf(1),
      position: 1,
      action: 'drop',
      match: {
        protocol: 6,
        destinationPorts: { from: 80, to: 80 },
        sourceSetId: idOf(3),
        tcpFlags: { set: 2, of: 18 },
        not: ['sourceSetId'],
        invert: true,
      },
    });
  const { out } = await runAgainst(fake, 'rule', 'list', '--chain', 'c1');
  const lines = out.split('\n');
  assert.match(
    lines[1]!,
    /c1 +1 +all but: not source-set friends, protocol tcp, destination-ports 80, tcp-flags syn\/syn\+ack +drop/,
  );
  assert.match(lines[2]!, /c1 +2 +anything +accept/);
});
