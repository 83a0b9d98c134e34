import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NUMBERS } from '../../datapath/contract.ts';
import type { Counter } from '../../datapath/datapath.ts';
import { DROP, UP } from '../../flow/reasons.ts';
import { FlowTable } from '../../flow/table.ts';
import { applyChanges, emptyTopology } from '../../topology/snapshot.ts';
import { putAll, sample, sampleId } from '../../topology/testing/samples.ts';
import { FakeDatapath } from '../testing/fake-datapath.ts';
import { answerRequest } from './requests.ts';

interface Report {
  readonly drops: readonly { readonly reason: string; readonly words: string; readonly packets: number }[];
  readonly lost: number;
  readonly misses: number;
  readonly total: number;
  readonly counters: readonly Record<string, unknown>[];
}

const { topology } = applyChanges(
  emptyTopology(),
  putAll(sample('bridge', 1), sample('port', 5, { deviceId: sampleId('bridge', 1), mac: '02:00:00:00:00:05' })),
);
const PORT = { id: sampleId('port', 5), number: topology.port(sampleId('port', 5))!.number };
const HOST = sampleId('host', 2);

function ask(counters: readonly Counter[], drops: readonly Counter[] = [], parameters: unknown = {}): Report {
  const answer = answerRequest(
    { kind: 'request', id: 1, method: 'counters', parameters },
    {
      datapath: Object.assign(new FakeDatapath(), { counters: () => [...counters] }),
      flows: new FlowTable(),
      topology: () => topology,
      counts: () => ({}),
      drops: () => drops,
      hostIdOf: (index) => (index === 3 ? HOST : undefined),
    },
  );
  assert.equal(answer.error, undefined);
  assert.ok(JSON.stringify(answer).length <= 64 * 1024, 'it fits a frame');
  return answer.result as Report;
}
const counter = (kind: Counter['kind'], id: number, port: number, packets: number): Counter => ({
  kind,
  id,
  port,
  packets,
  bytes: packets * 100,
});

test('a rare drop is told however many counters there are', () => {
  const many = Array.from({ length: 5000 }, (_, n) =>
    counter('up', n % 2 === 0 ? UP.tooLong : UP.memberMiss, 4_000_000 + n, Number.MAX_SAFE_INTEGER - n),
  );
  const rare = [counter('drop', DROP.localOnly, PORT.number, 1), counter('lost', 0, 0, 2)];
  const { drops, lost, total, counters } = ask([...many, ...rare]);
  assert.deepEqual(drops, [{ reason: 'localOnly', words: 'never forwarded', packets: 1, bytes: 100 }]);
  assert.equal(lost, 2);
  assert.equal(total, 5002);
  assert.ok(counters.length < total);
});

test('drops are summed over ports, those of the agent among them', () => {
  const { drops } = ask(
    [
      counter('drop', DROP.policy, PORT.number, 2),
      counter('drop', DROP.policy, NUMBERS.PORT_GONE, 40),
      counter('drop', DROP.noPeer, 0, 3),
    ],
    [counter('drop', DROP.agent, PORT.number, 7)],
  );
  assert.deepEqual(
    drops.map(({ reason, packets }) => [reason, packets]),
    [
      ['policy', 42],
      ['agent', 7],
      ['noPeer', 3],
    ],
  );
});

test('what came up since no flow was there is one sum, floods included', () => {
  const { misses } = ask([
    counter('up', UP.miss, PORT.number, 3),
    counter('up', UP.memberMiss, 77, 4),
    counter('up', UP.service, PORT.number, 50),
  ]);
  assert.equal(misses, 7);
});

test('ports, hosts and reasons have names where they are known', () => {
  const { counters } = ask([
    counter('portRx', PORT.number, 0, 9),
    counter('portTx', 77, 0, 8),
    counter('drop', DROP.noRoute, PORT.number, 7),
    counter('drop', DROP.noRoute, NUMBERS.PORT_GONE, 6),
    counter('drop', DROP.noPeer, 0, 5),
    counter('tunnelRx', 3, 0, 4),
    counter('tunnelTx', 4, 0, 3),
    counter('lost', 0, 0, 2),
  ]);
  assert.deepEqual(
    counters.map(({ packets, bytes, ...named }) => named),
    [
      { kind: 'portRx', id: PORT.number, portId: PORT.id },
      { kind: 'portTx', id: 77, at: 'port number 77' },
      { kind: 'drop', id: DROP.noRoute, name: 'noRoute', portId: PORT.id },
      { kind: 'drop', id: DROP.noRoute, name: 'noRoute', at: 'ports that are gone' },
      { kind: 'drop', id: DROP.noPeer, name: 'noPeer', at: 'no port' },
      { kind: 'tunnelRx', id: 3, hostId: HOST },
      { kind: 'tunnelTx', id: 4 },
      { kind: 'lost', id: 0 },
    ],
  );
});

test('the counters of one port can be asked for, whatever others have', () => {
  const others = Array.from({ length: 1000 }, (_, n) => counter('portRx', 1000 + n, 0, 1000));
  const { total, counters } = ask(
    [...others, counter('portRx', PORT.number, 0, 2), counter('drop', DROP.ttl, PORT.number, 1)],
    [],
    { portId: PORT.id },
  );
  assert.equal(total, 2);
  assert.deepEqual(
    counters.map(({ kind }) => kind),
    ['portRx', 'drop'],
  );
});
