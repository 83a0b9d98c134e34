import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Action } from './actions.ts';
import { formatActions } from './format.ts';
import { DROP } from './reasons.ts';
import { SharedActions, sameActions } from './shared-actions.ts';

const lists = (): Action[][] => [
  [],
  [{ kind: 'output', port: 1 }],
  [{ kind: 'flood', flood: 1 }],
  [{ kind: 'output', port: 2 }],
  [{ kind: 'popVlan' }, { kind: 'output', port: 1 }],
  [{ kind: 'output', port: 1 }, { kind: 'popVlan' }],
  [{ kind: 'setEthernet', destination: 0x020000000001 as never, source: 0x020000000002 as never }],
  [{ kind: 'setEthernet', destination: 0x020100000001 as never, source: 0x020000000002 as never }],
  [{ kind: 'answerNeighbour', mac: 1 as never, router: true }],
  [{ kind: 'answerNeighbour', mac: 1 as never, router: false }],
  [{ kind: 'drop', reason: DROP.noRoute }],
];

test('lists are the same when they do the same, and only then', () => {
  for (const [i, a] of lists().entries()) {
    for (const [j, b] of lists().entries()) {
      assert.equal(sameActions(a, b), i === j, `${formatActions(a)} and ${formatActions(b)}`);
    }
  }
});

test('an equal list with an equal text is kept once', () => {
  const shared = new SharedActions();
  for (const actions of lists()) {
    const first = shared.share(actions, 'a');
    assert.deepEqual(first, { actions, why: 'a' });
    assert.equal(shared.share(structuredClone(actions), 'a'), first);
    assert.deepEqual(shared.share(actions, 'b'), { actions, why: 'b' });
  }
});

test('more lists than are remembered are all given back as they are', () => {
  const shared = new SharedActions();
  for (let port = 0; port < 20_000; port++) {
    assert.deepEqual(shared.share([{ kind: 'output', port }], '').actions, [{ kind: 'output', port }]);
  }
});
