// A BPF ring buffer, mapped and read in place (Documentation/bpf/ringbuf.rst):
//
//   page 0            consumer position, ours to write
//   page 1            producer position
//   page 2 ...        data, mapped twice in a row, so that no record is ever cut in two
//
// Positions only grow. A record is {u32 length with busy and discard bits, u32 offset, bytes}, rounded up to 8.

import {
  Arena,
  clearEvent,
  closeFd,
  type Mapping,
  mapMemory,
  openEvent,
  pollReadable,
  raiseEvent,
  unmapMemory,
} from './sys.ts';

const PAGE_BYTES = 4096;
const HEADER_BYTES = 8;
const BUSY = 0x80000000;
const DISCARD = 0x40000000;

export class Ring {
  readonly #fd: number;
  readonly #mask: number;
  readonly #consumerPage: Mapping;
  readonly #producerPages: Mapping;
  readonly #consumer: BigInt64Array<ArrayBuffer>;
  readonly #producer: BigInt64Array<ArrayBuffer>;
  readonly #lengths: Int32Array<ArrayBuffer>;
  readonly #data: Uint8Array<ArrayBuffer>;
  readonly #wake: number;
  readonly #fds = new Arena(16);
  /** Behind the last record that was handed out; told to the kernel when those are done with. */
  #position: bigint;
  #waiting: Promise<void> | undefined;
  #closed = false;

  /** `fd`: the map, which stays the caller's. `bytes`: its size, a power of two. */
  constructor(fd: number, bytes: number) {
    this.#fd = fd;
    this.#mask = bytes - 1;
    this.#consumerPage = mapMemory(fd, 0, PAGE_BYTES, true);
    this.#producerPages = mapMemory(fd, PAGE_BYTES, PAGE_BYTES + 2 * bytes, false);
    this.#consumer = new BigInt64Array(this.#consumerPage.buffer, 0, 1);
    this.#producer = new BigInt64Array(this.#producerPages.buffer, 0, 1);
    this.#lengths = new Int32Array(this.#producerPages.buffer, PAGE_BYTES);
    this.#data = new Uint8Array(this.#producerPages.buffer, PAGE_BYTES);
    this.#position = Atomics.load(this.#consumer, 0);
    this.#wake = openEvent();
  }

  /** Up to `limit` records, oldest first: views that are valid until the next `read` or `wait`. */
  read(limit: number): Uint8Array[] {
    this.release();
    const records: Uint8Array[] = [];
    const produced = Atomics.load(this.#producer, 0);
    while (records.length < limit && this.#position < produced) {
      const at = Number(BigInt.asUintN(32, this.#position)) & this.#mask;
      const header = Atomics.load(this.#lengths, at / 4) >>> 0;
      if (header & BUSY) break;
      const length = header & ~(BUSY | DISCARD);
      if (!(header & DISCARD)) records.push(this.#data.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length));
      this.#position += BigInt((length + HEADER_BYTES + 7) & ~7);
    }
    return records;
  }

  /** Resolves when `read` would return something, after `timeoutMs`, or when the ring is closed. */
  async wait(timeoutMs: number): Promise<void> {
    // The kernel wakes a reader only for a record that begins where the reader has told that it stands.
    this.release();
    if (this.#closed || this.#isReady()) return;
    this.#waiting ??= pollReadable(this.#fds, [this.#fd, this.#wake], Math.max(0, timeoutMs)).finally(() => {
      this.#waiting = undefined;
    });
    await this.#waiting;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.release();
    raiseEvent(this.#wake);
    await this.#waiting;
    clearEvent(this.#wake);
    closeFd(this.#wake);
    this.#fds.free();
    unmapMemory(this.#consumerPage);
    unmapMemory(this.#producerPages);
  }

  /** Gives back the room of the records that were read; they are no longer valid. */
  release(): void {
    if (Atomics.load(this.#consumer, 0) !== this.#position) Atomics.store(this.#consumer, 0, this.#position);
  }

  #isReady(): boolean {
    if (this.#position >= Atomics.load(this.#producer, 0)) return false;
    const at = Number(BigInt.asUintN(32, this.#position)) & this.#mask;
    return (Atomics.load(this.#lengths, at / 4) & BUSY) === 0;
  }
}
