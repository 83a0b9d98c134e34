// Puts a generation of programs into the kernel: opens the object, takes over the maps that are pinned and pins those
// that are not, and attaches. Everything lies below <pin directory>/v<contract version>/: a program never meets tables
// of another layout. A hook that a predecessor attached gets the new program in one step, without losing a packet, of
// whatever version that predecessor was: the names of pins are the same in every version.
//
//   <map name>                maps
//   link-<program>-<index>    TCX links (Linux 6.6)
//   filter-<program>-<index>  programs that are attached by a tc filter: that stays with its interface

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
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
export const PER_CPU: ReadonlySet<string> = new Set(['counters', 'traffic', 'scratch']);

const BPF_FS_MAGIC = 0xcafe4a11;
const HOOK_NAME = /^(?:link|filter)-([a-z_]+)-([0-9]+)$/;

export type Attachment = 'tcx' | 'filter';

/** Makes the directory, and mounts a BPF file system there when it is on none. */
export function ensurePinDirectory(directory: string): void {
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
}

export class Programs {
  #directory: string | undefined;
  /** Where generations of other versions are pinned whose hooks are to be taken over, the newest first. */
  #others: readonly string[] = [];
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

  /** Pinned there from now on; the directory has been renamed. Hooks of the other generations are taken over. */
  settle(directory: string, others: readonly string[]): void {
    this.#directory = directory;
    this.#others = others;
  }

  /** Attaches at the ingress of an interface, or replaces what a predecessor attached there: it is never open. */
  attach(name: HookProgram, ifindex: number): void {
    const program = this.program(name);
    const own = this.#hookFile('link', name, ifindex);
    const links = [own, ...this.#others.map((other) => path.join(other, path.basename(own)))];
    if (links.some((file) => takeLink(file, program, own))) return;
    const link = this.#attachment === 'tcx' ? createTcxLink(program, ifindex) : undefined;
    const filter = this.#hookFile('filter', name, ifindex);
    if (link === undefined) {
      attachFilter(program, ifindex);
      // There is one filter on an interface, whichever program it was.
      for (const hook of HOOK_PROGRAMS) fs.rmSync(this.#hookFile('filter', hook, ifindex), { force: true });
      pin(program, filter);
      return;
    }
    pin(link, own);
    closeFd(link);
    // A filter of a predecessor that knew no TCX would run as well.
    detachFilter(ifindex);
    fs.rmSync(filter, { force: true });
  }

  /** Interfaces at which this or another generation has attached this program; some may be gone. */
  attached(name: HookProgram): ReadonlySet<number> {
    if (this.#directory === undefined) return new Set();
    const files = [this.#directory, ...this.#others].flatMap((directory) => fs.readdirSync(directory));
    return new Set(
      files.flatMap((file) => {
        const [, program, ifindex] = HOOK_NAME.exec(file) ?? [];
        return program === name ? [Number(ifindex)] : [];
      }),
    );
  }

  /** Forgets the hook of an interface that is gone; from one that is there a link is detached. */
  forget(name: HookProgram, ifindex: number): void {
    for (const kind of ['link', 'filter'] as const) fs.rmSync(this.#hookFile(kind, name, ifindex), { force: true });
  }

  close(): void {
    this.#object.close();
  }

  #hookFile(kind: 'link' | 'filter', name: HookProgram, ifindex: number): string {
    if (this.#directory === undefined) throw new Error('programs without a pin directory cannot be attached');
    return path.join(this.#directory, `${kind}-${name}-${ifindex}`);
  }
}

/** Gives the link that is pinned there, if it is and its interface lives, the program; it is pinned at `own` then. */
function takeLink(file: string, program: number, own: string): boolean {
  const link = openPin(file);
  if (link === undefined) return false;
  const alive = updateLink(link, program);
  closeFd(link);
  if (!alive) fs.unlinkSync(file);
  else if (file !== own) fs.renameSync(file, own);
  return alive;
}
