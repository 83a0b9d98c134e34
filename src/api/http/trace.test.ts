import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { frameOf } from '../../packet/words.ts';
import { encode, statusKey } from '../state/keys.ts';
import { openBench } from '../testing/bench.ts';

/** Ethernet, IPv4 and UDP of 8 bytes, from 10.0.0.1 to 10.0.0.2. */
const frame = (destination: string, source: string): string =>
  `${destination}${source}08004500001c0000000040110000${'0a000001'}${'0a000002'}0035003500080000`;

test('a trace tells what would become of a frame, on the live topology and with what hosts have learned', async () => {
  const bench = await openBench();
  const { must, call, store, parts } = bench;
  const host = await must('POST', '/v1/hosts', { name: 'h' });
  const bridge = await must('POST', '/v1/bridges', { name: 'web' });
  const bound = (interfaceName: string, mac?: string) =>
    must('POST', '/v1/ports', { deviceId: bridge.id, hostId: host.id, interfaceName, ...(mac ? { mac } : {}) });
  const [from, known, learning] = [
    await bound('a', '02:00:00:00:00:01'),
    await bound('b', '02:00:00:00:00:02'),
    await bound('c'),
  ];

  const trace = (destination: string) =>
    must('POST', '/v1/trace', { portId: from.id, frame: frame(destination, '020000000001') });
  const configured = await trace('020000000002');
  assert.equal(configured.verdict, 'forward');
  assert.ok(configured.actions.includes(`output ${known.tunnelKey}`), JSON.stringify(configured.actions));
  assert.match(configured.mask, /eth-dst=02:00:00:00:00:02/);
  assert.ok(configured.steps.length > 0);
  assert.ok(configured.steps.every((step: { depth: number; at: string; text: string }) => step.text !== ''));

  assert.ok(configured.tags.includes(`mac/${bridge.id}/0/02:00:00:00:00:02`), configured.tags.join(' '));
  const told = configured.steps.map(({ at, text }: { at: string; text: string }) => `${at}: ${text}`);
  assert.ok(
    told.some((line: string) => line.startsWith(`port ${known.id}: is down at present`)),
    told.join('\n'),
  );

  const unknown = await trace('020000000003');
  const deeper = unknown.steps.filter((step: { depth: number; text: string }) => step.depth === 1);
  const copies = deeper.filter(({ text }: { text: string }) => text === 'out to its guest');
  assert.equal(copies.length, 2, 'each member but the sender gets a copy');
  assert.ok(unknown.actions.includes(`flood ${bridge.floodKey}`), JSON.stringify(unknown.actions));
  const id = `${bridge.id},0,02:00:00:00:00:03`;
  const status = { kind: 'mac', id, portId: learning.id };
  const { rev } = await store.txn([], [{ put: statusKey(host.id, 'mac', id), value: encode(status) }]);
  await parts.feed.through(rev);
  const learned = await trace('020000000003');
  assert.ok(learned.actions.includes(`output ${learning.tunnelKey}`), JSON.stringify(learned.actions));

  const tagged = `${'020000000002'}${'020000000001'}8100000a${frame('', '')}${'00'.repeat(1472)}`;
  const whole = await must('POST', '/v1/trace', { portId: from.id, frame: tagged });
  assert.notEqual(whole.reason, 'tooLong', whole.why);

  const short = await must('POST', '/v1/trace', { portId: from.id, frame: '0102' });
  assert.deepEqual([short.verdict, short.reason], ['drop', 'malformed']);
  for (const [body, status] of [
    [{ portId: randomUUID(), frame: '00' }, 404],
    [{ portId: from.id, frame: 'xyz' }, 400],
    [{ portId: from.id }, 400],
    [{ portId: from.id, frame: '', more: 1 }, 400],
    [{ portId: from.id, frame: '00'.repeat(70_000) }, 413],
  ] as const) {
    assert.equal((await call('POST', '/v1/trace', body)).status, status);
  }
  await bench.close();
});

test('a trace of a later fragment is decided by the ports of its first; without it, it is dropped', async () => {
  const bench = await openBench();
  const { must, call } = bench;
  const host = await must('POST', '/v1/hosts', { name: 'h' });
  const chain = await must('POST', '/v1/chains', { name: 'no dns' });
  const match = { protocol: 17, destinationPorts: { from: 53, to: 53 } };
  await must('POST', '/v1/rules', { chainId: chain.id, position: 1, action: 'drop', match });
  const bridge = await must('POST', '/v1/bridges', { name: 'web' });
  const bound = (interfaceName: string, fields: object) =>
    must('POST', '/v1/ports', { deviceId: bridge.id, hostId: host.id, interfaceName, ...fields });
  const from = await bound('a', {});
  const guarded = await bound('b', { outboundChainId: chain.id });
  const hexOf = (place: string, ports: string, id = 7) =>
    Buffer.from(
      frameOf(`eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(10.0.0.1, 10.0.0.2, id=${id}, ${place}) udp(${ports})`),
    ).toString('hex');
  const later = hexOf('frag=later', '5000, 53');
  const trace = (first?: string) => must('POST', '/v1/trace', { portId: from.id, frame: later, first });

  const alone = await trace();
  assert.deepEqual([alone.verdict, alone.reason], ['drop', 'laterFragmentFirst']);
  assert.match(alone.why, /decided as its first was/);

  const told = (trace: { steps: { at: string; text: string }[] }) =>
    trace.steps.map(({ at, text }) => `${at}: ${text}`).join('\n');
  const refused = await trace(hexOf('frag=first', '5000, 53'));
  assert.match(told(refused), /a later fragment, decided by the ports 5000 and 53 of its first/);
  assert.match(told(refused), new RegExp(`port ${guarded.id.slice(0, 8)} out: chain no dns rule 1 matches: drop`));
  const admitted = await trace(hexOf('frag=first', '5000, 54'));
  assert.doesNotMatch(told(admitted), /matches: drop/);

  for (const [frame, first] of [
    [later, hexOf('frag=first', '5000, 53', 8)],
    [later, later],
    [later, '00'],
    [hexOf('frag=first', '5000, 53'), hexOf('frag=first', '5000, 53')],
  ]) {
    const { status, body } = await call('POST', '/v1/trace', { portId: from.id, frame, first });
    assert.deepEqual([status, body.path], [422, '/first'], body.message);
  }
  await bench.close();
});
