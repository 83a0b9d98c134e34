// Scenarios on simulate() alone: no data path, no agent. Deliveries are computed from the actions; a flood is expanded
// by simulating the class of each member.

import { MemoryFragments } from '../../src/datapath/memory-tables.ts';
import { applyActions } from '../../src/flow/apply.ts';

import { formatActions, formatMatch, formatTags } from '../../src/flow/format.ts';
import { keyOfFrame } from '../../src/flow/key.ts';
import { DROP, dropWords } from '../../src/flow/reasons.ts';
import { formatIp } from '../../src/packet/address.ts';
import { formatQuestion, QUESTION } from '../../src/simulate/question.ts';
import type { Arrival, Born, Need, Recorder, Result, Step } from '../../src/simulate/result.ts';
import { simulate, solicit } from '../../src/simulate/simulate.ts';
import { LearnedMaps, type Model } from '../model.ts';
import type { Delivery, Engine, Sent } from './engine.ts';

interface Parked {
  readonly port: string;
  readonly frame: Uint8Array;
  readonly needs: readonly Need[];
}

export class PureEngine implements Engine {
  readonly name = 'pure';
  /** Told of every verdict before what it teaches is learned. */
  onVerdict: (arrival: Arrival, result: Result) => void = () => {};
  readonly learned = new LearnedMaps();
  readonly #model: Model;
  readonly #fragments = new MemoryFragments();
  readonly #asked = new Set<string>();
  #parked: Parked[] = [];

  constructor(model: Model) {
    this.#model = model;
  }

  /** What waited may fare otherwise now; what guests get meanwhile is nobody's to compare. */
  async change(): Promise<void> {
    this.#retry();
  }

  async send(port: string, frame: Uint8Array): Promise<Sent> {
    const arrival = this.arrival(port, frame);
    if ('drop' in arrival) return { verdict: [`drop: ${dropWords(arrival.drop)}`], deliveries: [] };
    const result = simulate(arrival, this.#model.topology, this.learned);
    const deliveries = this.#carryOut(port, arrival, result);
    const verdict = [`${result.verdict}: ${result.why}`];
    if (result.verdict === 'needs') {
      verdict.splice(0, 1, ...result.needs.map((need) => this.#needText(need)));
      this.#parked.push({ port, frame, needs: result.needs });
    }
    return { verdict, deliveries: [...deliveries, ...this.#retry()] };
  }

  async forget(question: string): Promise<void> {
    this.learned.macs.delete(question);
    this.learned.neighbours.delete(question);
  }

  async close(): Promise<void> {}

  classOf(port: string, frame: Uint8Array): string[] {
    const arrival = this.arrival(port, frame);
    if ('drop' in arrival) return [`drop: ${dropWords(arrival.drop)}`];
    const result = simulate(arrival, this.#model.topology, this.learned);
    return [
      formatMatch(arrival.key, result.mask),
      formatActions(result.actions),
      ...formatTags(result.tags.map((tag) => ({ ...tag, question: formatQuestion(tag.question) }))),
    ];
  }

  trace(port: string, frame: Uint8Array): string[] {
    const lines: string[] = [];
    const recorder: Recorder = {
      step: (step: Step) => lines.push(`${'  '.repeat(step.depth)}${step.at}: ${step.text}`),
    };
    const arrival = this.arrival(port, frame);
    if ('drop' in arrival) return [`drop: ${dropWords(arrival.drop)}`];
    const result = simulate(arrival, this.#model.topology, this.learned, recorder);
    const verdict = `${result.verdict}: ${result.why}`;
    return lines.at(-1) === verdict ? lines : [...lines, verdict];
  }

  arrival(port: string, frame: Uint8Array, flood = 0): Arrival | { drop: number } {
    const parsed = keyOfFrame(frame, this.#model.number(port), flood);
    if (parsed.drop !== undefined) return { drop: parsed.drop };
    if (!this.#fragments.fill(parsed.key, frame)) return { drop: DROP.laterFragmentFirst };
    return { key: parsed.key, frame, lengthBytes: frame.length - 14 };
  }

  #carryOut(port: string, arrival: Arrival, result: Result): Delivery[] {
    this.onVerdict(arrival, result);
    this.#learn(result);
    const born: Born[] = [...result.born];
    const sent: Born[] = [];
    const deliveries: Delivery[] = [];
    if (result.cacheable) {
      for (const output of applyActions(result.actions, arrival.frame, arrival.key, arrival.lengthBytes).outputs) {
        if (output.kind === 'output') sent.push({ to: output.port, frame: output.frame });
        else if (output.kind === 'flood') sent.push({ to: output.flood, frame: output.frame });
        else if (output.kind === 'answer') deliveries.push({ port, frame: output.frame });
      }
    }
    for (const need of result.needs) {
      if (need.kind === 'neighbour' && this.#askOnce(need))
        born.push(...solicit(need, this.#model.topology, this.learned));
    }
    // What the network itself sends came in nowhere: its floods spare no port.
    return [
      ...deliveries,
      ...sent.flatMap((each) => this.#deliver(each, port)),
      ...born.flatMap((each) => this.#deliver(each, undefined)),
    ];
  }

  #deliver(born: Born, from: string | undefined): Delivery[] {
    const bridge = this.#model.topology.bridgeByFlood(born.to);
    if (bridge === undefined) return [{ port: this.#model.nameOf(born.to), frame: born.frame }];
    const deliveries: Delivery[] = [];
    for (const id of bridge.members) {
      const member = this.#model.topology.port(id)!;
      if (member.name === from) continue;
      const arrival = this.arrival(member.name, born.frame, bridge.flood);
      if ('drop' in arrival) continue;
      deliveries.push(...this.#carryOut(member.name, arrival, simulate(arrival, this.#model.topology, this.learned)));
    }
    return deliveries;
  }

  /** A question is not repeated while its answer is awaited. */
  #askOnce(need: Extract<Need, { kind: 'neighbour' }>): boolean {
    const question = QUESTION.neighbour(need.portId, need.ip);
    if (this.#asked.has(question)) return false;
    this.#asked.add(question);
    return true;
  }

  #learn(result: Result): void {
    for (const lesson of result.learn) {
      if (lesson.kind === 'mac')
        this.learned.macs.set(QUESTION.mac(lesson.bridgeId, lesson.vlan, lesson.mac), lesson.portId);
      else {
        this.learned.neighbours.set(QUESTION.neighbour(lesson.portId, lesson.ip), lesson.mac);
        this.#asked.delete(QUESTION.neighbour(lesson.portId, lesson.ip));
      }
    }
  }

  /** Packets that waited and now know what they needed. */
  #retry(): Delivery[] {
    const waiting = this.#parked;
    this.#parked = [];
    return waiting.flatMap((parked) => {
      const arrival = this.arrival(parked.port, parked.frame);
      if ('drop' in arrival) return [];
      const result = simulate(arrival, this.#model.topology, this.learned);
      if (result.verdict === 'needs') {
        this.#parked.push(parked);
        return [];
      }
      return this.#carryOut(parked.port, arrival, result);
    });
  }

  #needText(need: Need): string {
    if (need.kind === 'device') return `needs device ${need.deviceId}`;
    const port = this.#model.topology.port(need.portId);
    return `needs neighbour ${formatIp(need.ip)} at port ${port?.name}`;
  }
}
