// Puts a generation of programs into the kernel: opens the object, takes over the maps that are pinned and pins those
// that are not, and attaches. Everything lies below <pin directory>/v<contract version>/: a program never meets tables
// of another layout. A hook that a predecessor attached gets the new program in one step, without losing a packet.
//
//   <map name>              maps
//   link-<program>-<index>  TCX links (Linux 6.6); before that a tc filter stays with its interface

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CONTRACT_VERSION } from '../contract.ts';
import { BpfMap } from './maps.ts';
import {
  attachFilter,
  closeFd,
  createTcxLink,
  detachFilter,
  type LoadedObject,
  loadObject,
  openPin,
  pin,
  updateLink,
} from './sys.ts';

export const OBJECT_FILE = fileURLToPath(new URL('../../../bpf/ayatori.bpf.o', import.meta.url));

export const HOOK_PROGRAMS = ['vm_ingress', 'tunnel_ingress', 'inject_ingress', 'underlay_ingress'] as const;
export type HookProgram = (typeof HOOK_PROGRAMS)[number];
export const TEST_PROGRAM = 'test_entry';
const ALL_PROGRAMS = [...HOOK_PROGRAMS, TEST_PROGRAM];

/** Each generation has its own. */
const UNPINNED = new Set(['scratch']);
const PER_CPU = new Set(['counters', 'scratch']);

const BPF_FS_MAGIC = 0xcafe4a11;
const LINK_NAME = /^link-([a-z_]+)-([0-9]+)$/;

export type Attachment = 'tcx' | 'filter';

/** The directory on a BPF file system; one is mounted there when it is not. */
export function ensurePinDirectory(directory: string): string {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (fs.statfsSync(directory).type !== BPF_FS_MAGIC) {
    try {
      execFileSync('mount', ['-t', 'bpf', 'bpf', directory], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (cause) {
      throw new Error(`no BPF file system can be mounted at ${directory}: is this root, on a kernel with bpffs?`, {
        cause,
      });
    }
  }
  const versioned = path.join(directory, `v${CONTRACT_VERSION}`);
  fs.mkdirSync(versioned, { recursive: true, mode: 0o700 });
  return versioned;
}

export class Programs {
  readonly #directory: string | undefined;
  readonly #object: LoadedObject;
  readonly #maps: ReadonlyMap<string, BpfMap>;
  readonly #attachment: Attachment;

  /**
   * Loads `objectFile` with the maps pinned in `directory`; without one nothing is taken over or pinned, and nothing
   * can be attached. `programs` are those that will be used. `attachment` `tcx` falls back to filters where the kernel
   * has no TCX.
   */
  constructor(
    directory: string | undefined,
    programs: readonly string[],
    attachment: Attachment,
    objectFile = OBJECT_FILE,
  ) {
    this.#directory = directory;
    this.#attachment = attachment;
    this.#object = loadObject(objectFile, programs, ALL_PROGRAMS, (map) =>
      directory === undefined || UNPINNED.has(map) ? undefined : openPin(path.join(directory, map)),
    );
    for (const map of this.#object.maps) {
      if (directory === undefined || UNPINNED.has(map.name)) continue;
      const file = path.join(directory, map.name);
      if (!fs.existsSync(file)) pin(map.fd, file);
    }
    this.#maps = new Map(this.#object.maps.map((map) => [map.name, new BpfMap(map, PER_CPU.has(map.name))]));
  }

  map(name: string): BpfMap {
    const map = this.#maps.get(name);
    if (map === undefined) throw new Error(`the object has no map ${name}`);
    return map;
  }

  /** Size of a map as declared: entries, or bytes of a ring. */
  sizeOf(name: string): number {
    return this.#object.maps.find((map) => map.name === name)?.entries ?? 0;
  }

  program(name: string): number {
    const fd = this.#object.programs.get(name);
    if (fd === undefined) throw new Error(`program ${name} was not loaded`);
    return fd;
  }

  /** Attaches at the ingress of an interface, or replaces what a predecessor attached there. */
  attach(name: HookProgram, ifindex: number): void {
    const program = this.program(name);
    const file = this.#linkFile(name, ifindex);
    const old = openPin(file);
    if (old !== undefined) {
      const alive = updateLink(old, program);
      closeFd(old);
      if (alive) return;
      fs.unlinkSync(file);
    }
    const link = this.#attachment === 'tcx' ? createTcxLink(program, ifindex) : undefined;
    if (link === undefined) {
      attachFilter(program, ifindex);
      return;
    }
    pin(link, file);
    closeFd(link);
    // A filter of a predecessor that knew no TCX would run as well.
    detachFilter(ifindex);
  }

  /** Interfaces on which a predecessor left a link of this program; some may be gone. */
  linked(name: HookProgram): number[] {
    if (this.#directory === undefined) return [];
    return fs.readdirSync(this.#directory).flatMap((file) => {
      const [, program, ifindex] = LINK_NAME.exec(file) ?? [];
      return program === name ? [Number(ifindex)] : [];
    });
  }

  /** Forgets the links of an interface that is gone. */
  forget(name: HookProgram, ifindex: number): void {
    fs.rmSync(this.#linkFile(name, ifindex), { force: true });
  }

  close(): void {
    this.#object.close();
  }

  #linkFile(name: HookProgram, ifindex: number): string {
    if (this.#directory === undefined) throw new Error('programs without a pin directory cannot be attached');
    return path.join(this.#directory, `link-${name}-${ifindex}`);
  }
}

/** Takes away everything below a pin directory: programs, tables, connections. Traffic stops. */
export function removePins(directory: string): void {
  for (const version of fs.readdirSync(directory)) {
    const versioned = path.join(directory, version);
    if (!fs.statSync(versioned).isDirectory()) continue;
    for (const file of fs.readdirSync(versioned)) fs.unlinkSync(path.join(versioned, file));
    fs.rmdirSync(versioned);
  }
}
