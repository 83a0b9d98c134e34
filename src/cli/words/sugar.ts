// Flags that say more than one property at once, in the words that people use.

import type { Kind } from '../../topology/kinds.ts';
import type { Names } from '../names.ts';

export interface Sugar {
  readonly flag: string;
  /** Empty: the flag takes no word. */
  readonly argument: string;
  readonly description: string;
  /** Properties of the object. */
  read(word: string, names: Names): Promise<Readonly<Record<string, unknown>>>;
}

const plain = (flag: string, description: string, properties: Readonly<Record<string, unknown>>): Sugar => ({
  flag,
  argument: '',
  description,
  read: async () => properties,
});

const SUGAR: Partial<Record<Kind, readonly Sugar[]>> = {
  rule: [
    plain('accept', 'short for --action accept', { action: 'accept' }),
    plain('drop', 'short for --action drop', { action: 'drop' }),
    plain('reject', 'short for --action reject', { action: 'reject' }),
    plain('return', 'short for --action return', { action: 'return' }),
    {
      flag: 'jump',
      argument: '<name>',
      description: 'short for --action jump --jump-chain NAME',
      read: async (word, names) => ({ action: 'jump', jumpChainId: await names.idOf(['chain'], word) }),
    },
  ],
  route: [
    {
      flag: 'via',
      argument: '<name>',
      description: 'short for --next-hop port --port NAME',
      read: async (word, names) => ({ nextHop: 'port', portId: await names.idOf(['port'], word) }),
    },
    plain('blackhole', 'short for --next-hop blackhole', { nextHop: 'blackhole' }),
    plain('reject', 'short for --next-hop reject', { nextHop: 'reject' }),
  ],
};

export const sugarOf = (kind: Kind): readonly Sugar[] => SUGAR[kind] ?? [];
