// Reading of words with arguments, `name(value, key=value, flag)`: the letters of the grammar in ../words.ts.

export interface Word {
  readonly name: string;
  readonly args: readonly string[];
  /** As it was written, for errors. */
  readonly text: string;
}

/** What is wrong with a word. */
export class WordError extends Error {
  override readonly name = 'WordError';
  constructor(word: Pick<Word, 'text'>, problem: string) {
    super(`${word.text}: ${problem}`);
  }
}

const WORD = /\s*([a-z][a-z0-9]*)\s*(?:\(([^()]*)\))?(?=\s|$)/y;

/** Throws WordError. */
export function readWords(text: string): Word[] {
  const words: Word[] = [];
  const end = text.trimEnd().length;
  WORD.lastIndex = 0;
  while (WORD.lastIndex < end) {
    const at = WORD.lastIndex;
    const found = WORD.exec(text);
    if (found === null) throw new WordError({ text: text.slice(at).trim() }, 'is no word(argument, …)');
    const inner = (found[2] ?? '').trim();
    const args = inner === '' ? [] : inner.split(',').map((arg) => arg.trim());
    words.push({ name: found[1]!, args, text: found[0].trim() });
  }
  return words;
}

/** The value, or undefined when the text is none. */
type Read<T> = (text: string) => T | undefined;

/** The arguments of a word, taken one after the other: flags first, then by key or place; `end` wants none left. */
export class Arguments {
  readonly #word: Word;
  readonly #plain: string[];
  readonly #keyed = new Map<string, string>();

  constructor(word: Word) {
    this.#word = word;
    this.#plain = word.args.filter((arg) => !arg.includes('='));
    for (const arg of word.args) {
      const at = arg.indexOf('=');
      if (at < 0) continue;
      const key = arg.slice(0, at).trim();
      if (this.#keyed.has(key)) this.fail(`${key} is there twice`);
      this.#keyed.set(key, arg.slice(at + 1).trim());
    }
  }

  /** How many are left that have no key. */
  get plainCount(): number {
    return this.#plain.length;
  }

  fail(problem: string): never {
    throw new WordError(this.#word, problem);
  }

  flag(name: string): boolean {
    const at = this.#plain.indexOf(name);
    if (at >= 0) this.#plain.splice(at, 1);
    return at >= 0;
  }

  next<T>(what: string, read: Read<T>): T {
    return this.optional(what, read) ?? this.fail(`${what} is missing`);
  }

  optional<T>(what: string, read: Read<T>): T | undefined {
    const text = this.#plain.shift();
    return text === undefined ? undefined : this.#read(text, what, read);
  }

  keyed<T>(key: string, what: string, read: Read<T>): T | undefined {
    const text = this.#keyed.get(key);
    if (text === undefined) return undefined;
    this.#keyed.delete(key);
    return this.#read(text, what, read);
  }

  /** A number from 0 to `max` by key. */
  number(key: string, max: number): number | undefined {
    return this.keyed(key, `number up to ${max} for ${key}`, numberUpTo(max));
  }

  /** A number from 0 to `max` by place. */
  nextNumber(what: string, max: number): number {
    return this.next(`${what} (a number up to ${max})`, numberUpTo(max));
  }

  end(): void {
    const [left] = [...this.#plain, ...this.#keyed.keys()];
    if (left !== undefined) this.fail(`"${left}" is not understood`);
  }

  #read<T>(text: string, what: string, read: Read<T>): T {
    return read(text) ?? this.fail(`"${text}" is no ${what}`);
  }
}

export function numberUpTo(max: number): Read<number> {
  return (text) => {
    if (!/^(?:[0-9]+|0x[0-9a-f]+)$/i.test(text)) return undefined;
    const value = Number(text);
    return value <= max ? value : undefined;
  };
}

/** One of the keys of a table: its value. */
export function oneOf<T>(table: Readonly<Record<string, T>>): Read<T> {
  return (text) => (Object.hasOwn(table, text) ? table[text] : undefined);
}

export function readHex(text: string): Uint8Array | undefined {
  if (!/^(?:[0-9a-f]{2})*$/i.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let at = 0; at < bytes.length; at++) bytes[at] = Number.parseInt(text.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}
