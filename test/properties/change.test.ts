// Change soundness: after any changes, every flow that is still cached does what a fresh walk would say, teaches
// nothing new, and its mask holds every bit that the fresh walk marked.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskCovers } from '../../src/flow/fields.ts';
import { formatActions, formatMatch, formatTags } from '../../src/flow/format.ts';
import { type Flow, FlowTable } from '../../src/flow/table.ts';
import type { Touch } from '../../src/flow/tags.ts';
import type { Result } from '../../src/simulate/result.ts';
import { simulate } from '../../src/simulate/simulate.ts';
import { touchedBy, touchedByLesson } from '../../src/simulate/touch.ts';
import { applyEdit, Cloud, type Edit, edit, edits, keyOf, type Packet, packet } from './cloud.ts';

const NO_FRAME = new Uint8Array(0);
const runs = Number(process.env.PROPERTY_RUNS ?? 250);

/** The cache of one host, kept as an agent keeps it: only flows that asked a touched question are decided again. */
class Cache {
  readonly cloud = new Cloud();
  readonly flows = new FlowTable();
  rechecks = 0;

  packet(sent: Packet): void {
    const key = keyOf(this.cloud, sent);
    const result = this.#simulate(key);
    if (result.verdict === 'needs') return;
    this.flows.add({ key, wantedMask: result.mask, actions: result.actions, tags: result.tags, why: result.why });
    this.touch(this.cloud.learn(result.learn).map(touchedByLesson));
  }

  edit(each: Edit): void {
    const { changes, questions } = applyEdit(this.cloud, each);
    this.touch([...changes.map(touchedBy), ...questions.map((question) => ({ question }))]);
  }

  touch(touches: readonly Touch[]): void {
    for (const flow of this.flows.touchedBy(touches)) {
      if (!this.flows.has(flow)) continue;
      this.rechecks++;
      const { key } = flow;
      const result = this.#simulate(key);
      if (result.verdict === 'needs' || this.#teaches(result)) this.flows.remove(flow);
      else
        this.flows.add(
          { key, wantedMask: result.mask, actions: result.actions, tags: result.tags, why: result.why },
          flow,
        );
    }
  }

  /** Compares every flow with a fresh walk. */
  audit(told: string): void {
    for (const flow of this.flows) this.#compare(flow, told);
  }

  #compare(flow: Flow, told: string): void {
    const fresh = this.#simulate(flow.key);
    const what = `after ${told}\nflow ${formatMatch(flow.key, flow.mask)}\n  ${formatActions(flow.actions)} (${flow.why})\n  tags ${formatTags(flow.tags).join(' ')}\nfresh ${formatActions(fresh.actions)} (${fresh.why})`;
    assert.equal(formatActions(fresh.actions), formatActions(flow.actions), what);
    assert.ok(fresh.verdict !== 'needs', what);
    assert.ok(
      maskCovers(flow.mask, fresh.mask),
      `${what}\nits mask lacks bits of ${formatMatch(flow.key, fresh.mask)}`,
    );
    assert.ok(!this.#teaches(fresh), `${what}\nit would teach something new`);
  }

  /** Whether packets of the class would teach something that a cached flow hides; those that go up are seen anyway. */
  #teaches(result: Result): boolean {
    if (result.actions.some(({ kind }) => kind === 'toAgent')) return false;
    return result.learn.some((lesson) =>
      lesson.kind === 'mac'
        ? this.cloud.learned.macPort(lesson.bridgeId, lesson.vlan, lesson.mac) !== lesson.portId
        : this.cloud.learned.neighbour(lesson.portId, lesson.ip) !== lesson.mac,
    );
  }

  #simulate(key: Flow['key']): Result {
    return simulate({ key, frame: NO_FRAME, lengthBytes: 0 }, this.cloud.model.topology, this.cloud.learned);
  }
}

test('flows that were not touched stay right', () => {
  let rechecks = 0;
  let kept = 0;
  fc.assert(
    fc.property(
      edits(10),
      fc.array(fc.oneof({ weight: 3, arbitrary: packet }, { weight: 2, arbitrary: edit }), {
        minLength: 20,
        maxLength: 60,
      }),
      (before, events) => {
        const cache = new Cache();
        for (const each of before) cache.edit(each);
        for (const event of events) {
          if ('words' in event) cache.packet(event);
          else {
            cache.edit(event);
            cache.audit(JSON.stringify(event));
          }
        }
        cache.audit('the last packet');
        rechecks += cache.rechecks;
        kept += cache.flows.size;
      },
    ),
    { numRuns: runs },
  );
  assert.ok(rechecks > runs && kept > runs, `only ${rechecks} rechecks, ${kept} flows`);
});
