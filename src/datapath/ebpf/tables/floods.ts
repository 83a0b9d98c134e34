// Floods in the kernel: their members and hosts, chained where they are more than an entry holds, and the flood that
// each member belongs to.
//
//   flood ──► 64 members, 64 hosts ──next──► continuation ──► …        member ──► flood

import { bytesOf, NUMBERS, STRUCTS } from '../../contract.ts';
import type { FloodGroup } from '../../datapath.ts';
import { type BpfMap, u32At, u32Bytes } from '../maps.ts';

const FLOOD = STRUCTS.flood_entry;

/** A continuation has a number of its own, which nobody floods to. */
const CONTINUATION = 0x80000000;

interface Chain extends FloodGroup {
  readonly continuations: readonly number[];
}

export class KernelFloods {
  readonly #floods: BpfMap;
  readonly #members: BpfMap;
  #nextContinuation = 1;

  /** Takes over what is in the maps, and mends what a predecessor that was killed left half done. */
  constructor(floods: BpfMap, members: BpfMap) {
    this.#floods = floods;
    this.#members = members;
    const used = new Set<number>();
    for (const number of this.#numbers()) for (const part of this.#read(number).continuations) used.add(part);
    for (const [key] of floods.entries()) {
      const number = u32At(key);
      if (number < CONTINUATION) continue;
      if (used.has(number)) this.#nextContinuation = Math.max(this.#nextContinuation, number - CONTINUATION + 1);
      else floods.delete(key);
    }
    this.#mendMembers();
  }

  set(flood: number, group: FloodGroup | undefined): void {
    const old = this.#read(flood);
    const members = group?.members ?? [];
    for (const member of members) this.#members.set(u32Bytes(member), u32Bytes(flood));
    if (group === undefined) this.#floods.delete(u32Bytes(flood));
    else this.#write(flood, group);
    for (const continuation of old.continuations) this.#floods.delete(u32Bytes(continuation));
    const still = new Set(members);
    for (const member of old.members) {
      const key = u32Bytes(member);
      const of = this.#members.get(key);
      if (!still.has(member) && of !== undefined && u32At(of) === flood) this.#members.delete(key);
    }
  }

  list(): Map<number, FloodGroup> {
    return new Map(
      this.#numbers().map((number) => {
        const { members, hosts } = this.#read(number);
        return [number, { members, hosts }];
      }),
    );
  }

  #numbers(): number[] {
    const numbers: number[] = [];
    this.#floods.forEach((key) => {
      if (u32At(key) < CONTINUATION) numbers.push(u32At(key));
    });
    return numbers;
  }

  /** Every member belongs to a flood that lists it, and nobody else does. */
  #mendMembers(): void {
    const listed = new Map<number, number[]>();
    for (const [flood, { members }] of this.list()) {
      for (const member of members) listed.set(member, [...(listed.get(member) ?? []), flood]);
    }
    for (const [key, value] of this.#members.entries()) {
      const floods = listed.get(u32At(key));
      if (floods === undefined) this.#members.delete(key);
      else if (floods.includes(u32At(value))) listed.delete(u32At(key));
    }
    for (const [member, floods] of listed) this.#members.set(u32Bytes(member), u32Bytes(floods[0]!));
  }

  #read(flood: number): Chain {
    const members: number[] = [];
    const hosts: number[] = [];
    const continuations: number[] = [];
    for (let number = flood; number !== 0; ) {
      const entry = this.#floods.get(u32Bytes(number));
      if (entry === undefined) break;
      if (number !== flood) continuations.push(number);
      const view = new DataView(entry.buffer);
      const memberCount = view.getUint32(FLOOD.at.members, true);
      const hostCount = view.getUint32(FLOOD.at.hosts, true);
      for (let i = 0; i < memberCount; i++) members.push(view.getUint32(FLOOD.at.member + i * 4, true));
      for (let i = 0; i < hostCount; i++) hosts.push(view.getUint32(FLOOD.at.host + i * 4, true));
      number = view.getUint32(FLOOD.at.next, true);
    }
    return { members, hosts, continuations };
  }

  /** From the last part to the first, so that whoever reads the first one finds the others. */
  #write(flood: number, group: FloodGroup): void {
    const slots = NUMBERS.FLOOD_SLOTS;
    const parts = Math.max(1, Math.ceil(Math.max(group.members.length, group.hosts.length) / slots));
    let next = 0;
    for (let part = parts - 1; part >= 0; part--) {
      const members = group.members.slice(part * slots, (part + 1) * slots);
      const hosts = group.hosts.slice(part * slots, (part + 1) * slots);
      const { bytes, view } = bytesOf(FLOOD.bytes);
      view.setUint32(FLOOD.at.members, members.length, true);
      view.setUint32(FLOOD.at.hosts, hosts.length, true);
      members.forEach((member, i) => {
        view.setUint32(FLOOD.at.member + i * 4, member, true);
      });
      hosts.forEach((host, i) => {
        view.setUint32(FLOOD.at.host + i * 4, host, true);
      });
      view.setUint32(FLOOD.at.next, next, true);
      const number = part === 0 ? flood : (CONTINUATION | this.#nextContinuation++) >>> 0;
      this.#floods.set(u32Bytes(number), bytes);
      next = number;
    }
  }
}
