import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonLog, memoryLog, sparingLog } from './log.ts';

test('a line is JSON with level, time, why and the fields of the log and of the call', () => {
  const lines: string[] = [];
  const log = jsonLog({ level: 'info', write: (line) => void lines.push(line) }).with({ hostId: 'h1' });
  log.info('port is up', { portId: 'p1' });
  log.debug('not at this level');
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0]!);
  assert.equal(line.level, 'info');
  assert.equal(line.why, 'port is up');
  assert.equal(line.hostId, 'h1');
  assert.equal(line.portId, 'p1');
  assert.match(line.time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.ok(!('pid' in line));
});

test('an error in the field error comes with its message and stack, a bigint as a number', () => {
  const lines: string[] = [];
  jsonLog({ level: 'info', write: (line) => void lines.push(line) }).error('store is away', {
    error: new Error('disk full'),
    rev: 7n,
  });
  const line = JSON.parse(lines[0]!);
  assert.equal(line.error.message, 'disk full');
  assert.match(line.error.stack, /log\.test\.ts/);
  assert.equal(line.rev, 7);
});

test('a silent log writes nothing', () => {
  const lines: string[] = [];
  jsonLog({ level: 'silent', write: (line) => void lines.push(line) }).error('x');
  assert.deepEqual(lines, []);
});

test('a sparing log writes each why once in its time and then says how many it left out', () => {
  const memory = memoryLog();
  let nowMs = 0;
  const log = sparingLog(memory, 1000, () => nowMs).with({ at: 'ring' });
  log.warn('ring is full');
  log.warn('ring is full');
  log.warn('ring is full');
  log.warn('other');
  nowMs = 1000;
  log.warn('ring is full', { port: 3 });
  assert.deepEqual(memory.lines, [
    { level: 'warn', why: 'ring is full', fields: { at: 'ring' } },
    { level: 'warn', why: 'other', fields: { at: 'ring' } },
    { level: 'warn', why: 'ring is full', fields: { at: 'ring', port: 3, suppressed: 2 } },
  ]);
});
