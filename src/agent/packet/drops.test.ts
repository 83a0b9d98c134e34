import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NUMBERS } from '../../datapath/contract.ts';
import { FIELD, newKey, setU32 } from '../../flow/fields.ts';
import { DROP } from '../../flow/reasons.ts';
import { AGENT_DROPS_MAX } from '../limits.ts';
import type { Packet } from './arrival.ts';
import { AgentDrops } from './drops.ts';

const FRAME = new Uint8Array(60);

function packetOf(port: number): Packet {
  const key = newKey();
  setU32(key, FIELD.port.at, port);
  return { arrival: { key, frame: FRAME } } as unknown as Packet;
}

/** Reason, port, packets, bytes. */
const listed = (drops: AgentDrops) =>
  drops
    .list()
    .map(({ id, port, packets, bytes }) => [id, port, packets, bytes])
    .sort();

test('drops are counted by reason and port', () => {
  const drops = new AgentDrops(() => [{ port: 5 }, { port: 6 }]);
  for (const port of [5, 6, 5, 0]) drops.count(DROP.agent, packetOf(port));
  drops.count(DROP.groupSource, packetOf(5));
  assert.deepEqual(
    listed(drops),
    [
      [DROP.agent, 5, 2, 120],
      [DROP.agent, 6, 1, 60],
      [DROP.agent, 0, 1, 60],
      [DROP.groupSource, 5, 1, 60],
    ].sort(),
  );
});

test('those of ports that are unplugged are summed up, late ones too', () => {
  const plugged = [{ port: 5 }, { port: 6 }];
  const drops = new AgentDrops(() => plugged);
  for (const port of [5, 6, 5]) drops.count(DROP.agent, packetOf(port));
  plugged.shift();
  const sums = () => [
    [DROP.agent, 6, 1, 60],
    [DROP.agent, NUMBERS.PORT_GONE, 2, 120],
  ];
  assert.deepEqual(listed(drops), sums().sort());
  drops.count(DROP.agent, packetOf(5));
  assert.deepEqual(
    listed(drops).find(([, port]) => port === NUMBERS.PORT_GONE),
    [DROP.agent, NUMBERS.PORT_GONE, 3, 180],
  );
});

test('ports that come and go leave nothing behind, though nobody ever asks', () => {
  let looked = 0;
  const drops = new AgentDrops(() => {
    looked++;
    return [];
  });
  for (let port = 1; port <= 10_000; port++) drops.count(DROP.agent, packetOf(port));
  const before = looked;
  assert.ok(before > 10, `looked ${before} times`);
  assert.deepEqual(listed(drops), [[DROP.agent, NUMBERS.PORT_GONE, 10_000, 600_000]]);
});

test('a host with too many ports sums up those beyond', () => {
  const ports = Array.from({ length: AGENT_DROPS_MAX + 500 }, (_, at) => ({ port: at + 1 }));
  const drops = new AgentDrops(() => ports);
  for (const { port } of ports) drops.count(DROP.agent, packetOf(port));
  const all = drops.list();
  assert.equal(all.length, AGENT_DROPS_MAX + 1);
  assert.equal(all.find(({ port }) => port === NUMBERS.PORT_GONE)?.packets, 500);
});
