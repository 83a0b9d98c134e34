import assert from 'node:assert/strict';
import { test } from 'node:test';
import { troublesIn } from './deployment.ts';
import { type Done, formatStep, formatTable } from './report.ts';

const done = (name: string, ok: boolean, seen: string, figure?: string): Done => ({
  step: { name, expected: 'all', run: () => Promise.reject(new Error('not run here')) },
  outcome: { ok, seen, ...(figure && { figure }) },
});

test('a step is one line with its time, what was seen and its figure', () => {
  assert.equal(formatStep(12_345, done('ping', true, '3 of 3', '0.1 ms')), '  12.3 s  ok      ping: 3 of 3  (0.1 ms)');
  assert.equal(formatStep(900, done('ping', false, '0 of 3')), '   0.9 s  FAILED  ping: 0 of 3');
});

test('the table has a column for each of step, expected, seen and figure', () => {
  assert.deepEqual(formatTable([done('ping', true, '3 of 3', '0.1 ms'), done('traceroute', false, 'nothing')]), [
    'step        expected  seen             latency or throughput',
    '----------  --------  ---------------  ---------------------',
    'ping        all       3 of 3           0.1 ms',
    'traceroute  all       FAILED: nothing',
  ]);
});

test('what a failed program said is one line, and cut in the table', () => {
  const failed = done('ping', false, `no\n  luck${'!'.repeat(200)}`);
  assert.match(formatStep(0, failed), /^ +0\.0 s {2}FAILED {2}ping: no luck!{200}$/);
  assert.ok(formatTable([failed]).at(-1)!.length < 120);
});

test('warnings, errors and what is no log line are troubles', () => {
  const log = '{"level":"info","why":"a"}\n{"level":"warn","why":"b"}\n{"level":"error","why":"c"}\nTypeError: d\n';
  assert.deepEqual(troublesIn(log), ['{"level":"warn","why":"b"}', '{"level":"error","why":"c"}', 'TypeError: d']);
});
