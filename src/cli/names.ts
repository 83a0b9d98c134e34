// Names and ids: people type either, objects hold ids, tables show names.

import type { Answered, Client } from '../client/client.ts';
import { ApiError } from '../client/client.ts';
import { KINDS, type Kind } from '../topology/kinds.ts';
import { CliError, EXIT, usage } from './exit.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Numbers of ports and bridges in words of the data path. */
const NUMBERED = /(?<=^port=|^output |^flood )(\d+)\b/;

/** `bridge|router` of a schema's `references`. */
export const kindsOf = (references: string): Kind[] => references.split('|') as Kind[];
const nouns = (kinds: readonly Kind[]): string => kinds.map((kind) => KINDS[kind].noun).join(' or ');

/** Looks names up and remembers them for one command. */
export class Names {
  readonly #client: Client;
  readonly #known = new Map<string, Promise<string>>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** The id that a word stands for. An id is taken as it is: whether it exists is for the server to say. */
  async idOf(kinds: readonly Kind[], word: string): Promise<string> {
    if (word === '') throw usage(`a ${nouns(kinds)} must be named by name or id`);
    if (UUID.test(word)) return word.toLowerCase();
    const found: { readonly kind: Kind; readonly value: Answered<Kind> }[] = [];
    for (const kind of kinds) {
      for await (const value of this.#client.list(kind, { name: word })) found.push({ kind, value });
    }
    const [first, ...others] = found;
    if (first === undefined) {
      const lists = kinds.map((kind) => `aya ${KINDS[kind].noun} list`).join(', ');
      throw new CliError(EXIT.missing, `no ${nouns(kinds)} is called ${word}; see ${lists}`);
    }
    if (others.length === 0) return first.value.id;
    const lines: string[] = [];
    for (const { kind, value } of found) lines.push(`  ${value.id}  ${await this.#whereabouts(kind, value)}`);
    throw new CliError(EXIT.conflict, `${found.length} are called ${word}; name one by its id:\n${lines.join('\n')}`);
  }

  /** What tells objects of the same name apart: kind, the device or owner, the project, when it was made. */
  async #whereabouts(kind: Kind, value: Answered<Kind>): Promise<string> {
    const fields = value as unknown as Record<string, unknown>;
    const words: string[] = [KINDS[kind].noun];
    for (const property of KINDS[kind].fixed) {
      const references = (KINDS[kind].schema.properties[property] as { references?: string }).references;
      if (references !== undefined)
        words.push(`of ${await this.nameOf(kindsOf(references), String(fields[property]))}`);
    }
    if (value.projectId !== undefined) words.push(`in project ${await this.nameOf(['project'], value.projectId)}`);
    words.push(`made ${value.createdAt}`);
    return words.join(' ');
  }

  /** The name of an object, or its id when it has none or is gone or not ours to see. */
  nameOf(kinds: readonly Kind[], id: string): Promise<string> {
    let name = this.#known.get(id);
    if (name === undefined) {
      name = this.#fetchName(kinds, id);
      this.#known.set(id, name);
    }
    return name;
  }

  /** `port vm1` or `bridge web`, which floods; the number itself where nothing has it any more, or it is not ours to see. */
  async numbered(number: number): Promise<string> {
    for await (const { id, name } of this.#client.list('port', { tunnelKey: number })) return `port ${name || id}`;
    for await (const { id, name } of this.#client.list('bridge', { floodKey: number })) return `bridge ${name || id}`;
    return `number ${number}`;
  }

  /** Words of the data path (`port=4`, `output 5`, `flood 1`) with names for the numbers of ports and bridges. */
  async inText(text: string): Promise<string> {
    const parts = text.split(NUMBERED);
    for (let at = 1; at < parts.length; at += 2) {
      const words = await this.numbered(Number(parts[at]));
      if (!words.startsWith('number ')) parts[at] = words.slice(words.indexOf(' ') + 1);
    }
    return parts.join('');
  }

  async #fetchName(kinds: readonly Kind[], id: string): Promise<string> {
    for (const kind of kinds) {
      try {
        return (await this.#client.get(kind, id)).name || id;
      } catch (error) {
        if (!(error instanceof ApiError) || (error.status !== 404 && error.status !== 403)) throw error;
      }
    }
    return id;
  }
}
