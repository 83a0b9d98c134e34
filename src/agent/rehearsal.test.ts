import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryLog } from '../lib/log.ts';
import { rehearse } from './rehearsal.ts';

test('every packet of a rehearsal is decided: forwarded, answered, or kept waiting for a neighbour', () => {
  const log = memoryLog();
  const counts = rehearse(() => 0, log)!;
  assert.deepEqual(log.lines, []);
  const { packets, simulated, failed, answers, answersLimited, parked, parkedDropped, oneShot } = counts;
  // Twenty times 15 packets. Of each round DHCP, a router advertisement, an echo reply and "no route" are answers.
  assert.deepEqual({ packets, simulated, failed, oneShot }, { packets: 300, simulated: 300, failed: 0, oneShot: 0 });
  assert.deepEqual({ answers, answersLimited }, { answers: 80, answersLimited: 0 });
  assert.deepEqual({ parked, parkedDropped }, { parked: 20, parkedDropped: 0 });
});

test('a rehearsal that fails does not keep the agent from starting', () => {
  const log = memoryLog();
  const broken = () => {
    throw new Error('no clock');
  };
  assert.equal(rehearse(broken, log), undefined);
  assert.deepEqual(
    log.lines.map(({ level }) => level),
    ['warn'],
  );
});
