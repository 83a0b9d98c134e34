// What this host tells of itself, kept whole and sent as it changes: a new connection gets all of it.

import type { Status, StatusKind } from '../../topology/status.ts';
import type { AgentFrame } from '../../topology/wire.ts';

type StatusFrame = Extract<AgentFrame, { kind: 'status' }>;
interface Ref {
  readonly kind: StatusKind;
  readonly id: string;
}

/** Statuses in one frame: at about 300 bytes each well below the 64 KiB of a frame. */
const PER_FRAME = 100;

export class StatusBook {
  readonly #all = new Map<string, Status>();
  /** Changed since the last `changes`: the status, or undefined when it is gone. */
  readonly #changed = new Map<string, { readonly ref: Ref; readonly status: Status | undefined }>();
  /** To be told again even when it is the same. */
  readonly #again = new Set<string>();

  /** Remembers it and, when it differs from what was told, has it sent. */
  put(status: Status): void {
    const key = keyOf(status);
    const known = this.#all.get(key);
    const again = this.#again.delete(key);
    if (!again && known !== undefined && JSON.stringify(known) === JSON.stringify(status)) return;
    this.#all.set(key, status);
    this.#changed.set(key, { ref: { kind: status.kind, id: status.id }, status });
  }

  delete(ref: Ref): void {
    const key = keyOf(ref);
    if (!this.#all.delete(key)) return;
    this.#again.delete(key);
    this.#changed.set(key, { ref: { kind: ref.kind, id: ref.id }, status: undefined });
  }

  /** What comes next of it is told, also when it is what was told last: the answer to that was lost. */
  tellAgain(ref: Ref): void {
    const key = keyOf(ref);
    if (this.#all.has(key)) this.#again.add(key);
  }

  /** Makes the statuses of one kind exactly these. */
  replaceKind(kind: StatusKind, statuses: readonly Status[]): void {
    const kept = new Set(statuses.map(keyOf));
    for (const [key, status] of this.#all) if (status.kind === kind && !kept.has(key)) this.delete(status);
    for (const status of statuses) this.put(status);
  }

  /** Frames with what changed since the last call; none when nothing did. */
  changes(): StatusFrame[] {
    const changed = [...this.#changed.values()];
    this.#changed.clear();
    return framesOf(
      changed.flatMap(({ status }) => status ?? []),
      changed.flatMap(({ ref, status }) => (status === undefined ? [ref] : [])),
      false,
    );
  }

  /** Frames for a new connection: all there is. */
  whole(): StatusFrame[] {
    this.#changed.clear();
    this.#again.clear();
    return framesOf([...this.#all.values()], [], true);
  }
}

const keyOf = (ref: Ref): string => `${ref.kind}/${ref.id}`;

function framesOf(put: readonly Status[], del: readonly Ref[], reset: boolean): StatusFrame[] {
  const frames: StatusFrame[] = [];
  const count = Math.max(put.length, del.length);
  for (let at = 0; at < count; at += PER_FRAME) {
    frames.push({
      kind: 'status',
      put: put.slice(at, at + PER_FRAME),
      del: del.slice(at, at + PER_FRAME),
      reset: reset && at === 0,
      ...(reset && at + PER_FRAME < count ? { more: true } : {}),
    });
  }
  if (reset && frames.length === 0) frames.push({ kind: 'status', put: [], del: [], reset: true });
  return frames;
}
