// What a lab has made, written down before it is made: a lab that was killed is taken down by whoever comes next.
//
//   <root>/<lab>/lab.json      owner, namespaces, processes; the directory itself is the lock on the name
//   <root>/<lab>/...           everything else of the lab: logs, state of hosts, mounts of bpffs

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { attempt, run } from './command.ts';
import { end, identityOf, isAlive, type ProcessIdentity } from './process.ts';
import { NeverWill } from './wait.ts';

export const LAB_ROOT = '/run/ayatori/lab';
const NAMESPACES = '/run/netns';
/** Between the name of a dead lab and the pid of who takes it down. */
const CLAIMED = '.taken-down-by-';
/** Enough for an agent to say goodbye to its server, short enough for Ctrl-C. */
const GRACE_MS = 4_000;

interface Content {
  readonly owner: ProcessIdentity;
  namespaces: string[];
  processes: ProcessIdentity[];
}

/** The name of a lab or of a namespace is taken by somebody who is alive, or by something that is not ours. */
export class NameTaken extends Error {
  override readonly name = 'NameTaken';
}

export class Ledger {
  readonly directory: string;
  readonly #content: Content;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(directory: string, content: Content) {
    this.directory = directory;
    this.#content = content;
  }

  /** Takes the name `lab`. What a dead owner of that name left is removed first. */
  static async open(lab: string, root = LAB_ROOT): Promise<Ledger> {
    const directory = join(root, lab);
    const content: Content = { owner: identityOf(process.pid)!, namespaces: [], processes: [] };
    for (;;) {
      mkdirSync(root, { recursive: true, mode: 0o700 });
      const fresh = mkdtempSync(join(root, '.new-'));
      writeFileSync(join(fresh, 'lab.json'), JSON.stringify(content));
      try {
        // Renaming onto a directory that holds something fails: the name belongs to one lab at a time.
        renameSync(fresh, directory);
        return new Ledger(directory, content);
      } catch {
        rmSync(fresh, { recursive: true });
      }
      const found = read(directory);
      if (found && isAlive(found.owner)) {
        throw new NameTaken(`"${lab}" is running already, as process ${found.owner.pid}: stop that one first.`);
      }
      const claimed = claim(directory, found ?? content);
      if (claimed) await takeDown(claimed, found ?? content);
    }
  }

  /** Throws when the lab is being taken down: nothing runs in it any more. */
  assertOpen(): void {
    if (this.#closed) throw new NeverWill('the lab is being taken down');
  }

  /** Makes something that is to be taken down: `close` waits until it is made, or forbids it. */
  async making<T>(work: () => Promise<T>): Promise<T> {
    this.assertOpen();
    const made = work();
    this.#underWay.add(made);
    try {
      return await made;
    } finally {
      this.#underWay.delete(made);
    }
  }

  /** Writes the name down, then creates the namespace. */
  async addNamespace(name: string): Promise<void> {
    if (namespaceNames().includes(name)) {
      throw new NameTaken(
        `A network namespace named ${name} exists already and was not made by this lab: remove it with "ip netns delete ${name}" or rename it.`,
      );
    }
    this.#content.namespaces.push(name);
    this.#write();
    await this.making(() => run(['ip', 'netns', 'add', name]));
  }

  addProcess(identity: ProcessIdentity): void {
    this.#content.processes = [...this.#content.processes.filter(isAlive), identity];
    this.#write();
  }

  /** Ends all processes, deletes all namespaces, mounts and files. Says nothing when there is nothing left to do. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
    await takeDown(this.directory, this.#content);
    for (const parent of [dirname(this.directory), dirname(dirname(this.directory))]) {
      try {
        rmdirSync(parent);
      } catch {
        // Others have something in it.
      }
    }
  }

  #write(): void {
    const path = join(this.directory, 'lab.json');
    writeFileSync(`${path}.new`, JSON.stringify(this.#content));
    renameSync(`${path}.new`, path);
  }
}

/** Takes down every lab whose owner is dead. Gives their names. */
export async function cleanupStale(root = LAB_ROOT): Promise<string[]> {
  const removed: string[] = [];
  for (const lab of list(root)) {
    const directory = join(root, lab);
    const content = read(directory);
    if (!content || isAlive(content.owner)) continue;
    const claimed = claim(directory, content);
    if (!claimed) continue;
    await takeDown(claimed, content);
    removed.push(lab.split(CLAIMED)[0]!);
  }
  return removed;
}

/**
 * Makes what a dead lab left our own to take down: of two processes that try, one succeeds. Gives its new directory.
 * If we are killed over it, it is a dead lab again, with us as its owner.
 */
function claim(directory: string, content: Content): string | undefined {
  const claimed = `${directory.split(CLAIMED)[0]}${CLAIMED}${process.pid}`;
  try {
    renameSync(directory, claimed);
  } catch {
    return undefined;
  }
  writeFileSync(join(claimed, 'lab.json'), JSON.stringify({ ...content, owner: identityOf(process.pid) }));
  return claimed;
}

async function takeDown(directory: string, content: Content): Promise<void> {
  await end(content.processes, GRACE_MS);
  const here = namespaceNames();
  const namespaces = content.namespaces.filter((name) => here.includes(name));
  // A program may be starting another one while it is ended.
  for (;;) {
    const inside = (await Promise.all(namespaces.map(processesIn))).flat();
    if (inside.length === 0) break;
    await end(inside, 0);
  }
  for (const mount of mountsUnder(directory)) await run(['umount', '--lazy', mount]);
  for (const name of namespaces) await attempt(['ip', 'netns', 'delete', name]);
  rmSync(directory, { recursive: true, force: true });
  const left = namespaces.filter((name) => namespaceNames().includes(name));
  if (left.length > 0) throw new Error(`cannot delete network namespaces: ${left.join(', ')}`);
}

/** Whatever runs in a namespace of a lab belongs to the lab: daemons that its programs left, too. */
async function processesIn(namespace: string): Promise<ProcessIdentity[]> {
  const { stdout } = await attempt(['ip', 'netns', 'pids', namespace]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => identityOf(Number(line)))
    .filter((identity) => identity !== undefined);
}

/** Mount points at or below a directory, deepest first. */
function mountsUnder(directory: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mount) => mount === directory || mount.startsWith(`${directory}/`))
    .reverse();
}

export const namespaceNames = (): string[] => list(NAMESPACES);

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(directory: string): Content | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, 'lab.json'), 'utf8'));
  } catch {
    return undefined;
  }
}
