import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Resource } from '../topology/kinds.ts';
import { sample, sampleId } from '../topology/testing/samples.ts';
import type { AgentFrame, AuditReport } from '../topology/wire.ts';
import { Audits } from './audit.ts';
import { HERE, TestHost } from './testing/test-host.ts';

const LAN = sampleId('bridge', 1);
const macOf = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, '0')}`;
const guest = (n: number, fields: object = {}): Resource =>
  sample('port', n, { deviceId: LAN, hostId: HERE, interfaceName: `tap${n}`, mac: macOf(n), ...fields });
const from5 = (to: number) => `eth(${macOf(5)}, ${macOf(to)}) ip(10.0.0.5, 10.0.0.${to}) udp(1000, 53)`;

/** A host with a flow to each of its guests. */
function audited() {
  const host = new TestHost();
  const others = Array.from({ length: 10 }, (_, at) => at + 6);
  host.load(sample('bridge', 1), guest(5), ...others.map((n) => guest(n)));
  host.settle();
  for (const n of others) host.send(5, from5(n));
  const answers: Extract<AgentFrame, { kind: 'answer' }>[] = [];
  const { learned } = host.replica;
  const audits = new Audits({
    datapath: host.datapath,
    world: () => ({
      hostId: HERE,
      topology: host.replica.topology,
      learned,
      wouldTeach: (lesson) => learned.wouldTeach(lesson, host.now),
      simulate: host.simulate,
    }),
    settled: () => host.replica.settled,
    answer: (frame) => answers.push(frame),
  });
  const report = (): AuditReport => {
    while (audits.step());
    return answers.at(-1)!.result as AuditReport;
  };
  return { host, audits, answers, report };
}

test('every flow is compared, a page at a time', () => {
  const { host, audits, answers, report } = audited();
  audits.ask(1);
  host.simulated.length = 0;
  assert.equal(audits.step(), true);
  assert.equal(host.simulated.length, 1);
  assert.equal(answers.length, 0);
  assert.deepEqual(report(), { hostId: HERE, revision: 1, flows: 10, differences: [] });
});

test('a flow that is not what it should be is named', () => {
  const { host, audits, report } = audited();
  const [flow] = host.datapath.flows();
  host.datapath.install([{ ...flow!, actions: [] }]);
  audits.ask(1);
  assert.equal(report().differences.length, 1);
});

test('a flow that changes while the audit runs is no difference, and one whose recheck is pending is waited for', () => {
  const { host, audits, report } = audited();
  audits.ask(1);
  for (let page = 0; page < 4; page++) audits.step();
  host.change([guest(6, { adminUp: false }), guest(15, { adminUp: false })]);
  assert.equal(host.replica.settled, false);
  const simulated = host.simulated.length;
  assert.equal(audits.step(), false);
  assert.equal(host.simulated.length, simulated);
  host.settle();
  assert.deepEqual(report().differences, []);
});

test('audits are answered one after the other; who is gone gets no answer', () => {
  const { audits, answers, report } = audited();
  for (const id of [1, 2]) audits.ask(id);
  report();
  assert.deepEqual(
    answers.map(({ id }) => id),
    [1, 2],
  );
  audits.ask(3);
  audits.step();
  audits.forget();
  assert.equal(audits.step(), false);
  audits.ask(4);
  report();
  assert.deepEqual(
    answers.map(({ id }) => id),
    [1, 2, 4],
  );
});

test('an audit that fails says why, and the next one is answered', () => {
  const { host, audits, answers, report } = audited();
  audits.ask(1);
  host.beforeSimulate = () => {
    throw new Error('no such thing');
  };
  audits.step();
  assert.deepEqual(answers, [{ kind: 'answer', id: 1, error: 'no such thing' }]);
  host.beforeSimulate = () => undefined;
  audits.ask(2);
  assert.equal(report().flows, 10);
});
