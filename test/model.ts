// Topologies for tests, in few words: names instead of ids, defaults filled in, numbers given out in order.

import { createHash } from 'node:crypto';
import type { Mac } from '../src/packet/address.ts';
import { QUESTION } from '../src/simulate/question.ts';
import type { Learned } from '../src/simulate/result.ts';
import { parseDocument } from '../src/topology/document.ts';
import type { Kind, Objects, Resource } from '../src/topology/kinds.ts';
import type { Change, Topology } from '../src/topology/nodes.ts';
import { applyChanges, emptyTopology } from '../src/topology/snapshot.ts';

/** The id that a name stands for, the same in every test. */
export function idOf(name: string): string {
  const hex = createHash('sha256').update(name).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Properties whose names of objects become ids. */
const NAMES_OF_OBJECTS = /(Id|Ids)$/;

export class Model {
  topology: Topology = emptyTopology();
  readonly #numbers = new Map<string, number>();
  #next = 1;

  /** Creates or replaces an object; references are names. Returns what it altered. */
  put<K extends Kind>(kind: K, name: string, fields: Record<string, unknown> = {}): Change[] {
    return this.#apply([this.#resource(kind, name, fields)], []);
  }

  /** Changes some fields; undefined removes one. */
  set<K extends Kind>(kind: K, name: string, fields: Record<string, unknown>): Change[] {
    const before = this.topology.object(kind, idOf(name));
    if (before === undefined) throw new Error(`there is no ${kind} ${name}`);
    const after = { ...before, ...references(fields) };
    for (const [key, value] of Object.entries(fields))
      if (value === undefined) delete (after as Record<string, unknown>)[key];
    return this.#apply([{ kind, value: after } as Resource], []);
  }

  del(kind: Kind, name: string): Change[] {
    return this.#apply([], [{ kind, id: idOf(name) }]);
  }

  /** Joins two ports by a virtual wire. */
  peer(a: string, b: string): Change[] {
    return [...this.set('port', a, { peerId: b }), ...this.set('port', b, { peerId: a })];
  }

  number(port: string): number {
    return this.#numberOf(`port ${port}`);
  }

  nameOf(number: number): string {
    for (const [key, value] of this.#numbers) if (value === number) return key.split(' ')[1]!;
    return `#${number}`;
  }

  #apply(put: Resource[], del: { kind: Kind; id: string }[]): Change[] {
    const { topology, changes } = applyChanges(this.topology, { revision: this.topology.revision + 1, put, del });
    this.topology = topology;
    return changes;
  }

  #resource(kind: Kind, name: string, fields: Record<string, unknown>): Resource {
    const parsed = parseDocument(kind, { id: idOf(name), name, ...references(fields) }, 'create');
    if ('problems' in parsed) throw new Error(`${kind} ${name}: ${JSON.stringify(parsed.problems)}`);
    const value: Record<string, unknown> = { ...parsed.value, revision: 0, createdAt: '', updatedAt: '' };
    if (kind === 'port') {
      value.tunnelKey = this.#numberOf(`port ${name}`);
      value.deviceKind = this.topology.router(value.deviceId as string) === undefined ? 'bridge' : 'router';
    }
    if (kind === 'bridge') value.floodKey = this.#numberOf(`bridge ${name}`);
    if (kind === 'rule') {
      value.number = this.#next++;
      value.position ??= 10;
    }
    return { kind, value: value as Objects[Kind] } as Resource;
  }

  #numberOf(key: string): number {
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    this.#numbers.set(key, this.#next);
    return this.#next++;
  }
}

function references(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([key, value]) => {
      if (key === 'match') return [key, references(value as Record<string, unknown>)];
      if (key === 'members') return [key, (value as Record<string, unknown>[]).map(references)];
      if (!NAMES_OF_OBJECTS.test(key) || value === undefined) return [key, value];
      return [key, Array.isArray(value) ? value.map((name) => idOf(String(name))) : idOf(String(value))];
    }),
  );
}

/** What was learned, as plain maps under the spelling of the questions. */
export class LearnedMaps implements Learned {
  readonly macs = new Map<string, string>();
  readonly neighbours = new Map<string, Mac | null>();

  macPort(bridgeId: string, vlan: number, mac: Mac): string | undefined {
    return this.macs.get(QUESTION.mac(bridgeId, vlan, mac));
  }

  neighbour(portId: string, ip: Parameters<Learned['neighbour']>[1]): Mac | null | undefined {
    return this.neighbours.get(QUESTION.neighbour(portId, ip));
  }
}
