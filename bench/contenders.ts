// Who is measured, and how each is set up.

import type { Lab } from '../src/lab/lab.ts';
import { type WovenAyatori, weaveAyatori } from './beds/ayatori.ts';
import type { Woven } from './beds/bed.ts';
import { weaveOvn, whyNoOvn } from './beds/ovn.ts';
import { weavePlain } from './beds/plain.ts';
import type { ContenderName, JobName } from './names.ts';

/** Why a contender cannot be measured on this machine; undefined: it can. */
export function whyMissing(contender: ContenderName, path: string): string | undefined {
  return contender === 'ovn' ? whyNoOvn(path) : undefined;
}

export function weave(contender: ContenderName, lab: Lab, jobs: readonly JobName[]): Promise<Woven | WovenAyatori> {
  switch (contender) {
    case 'limit':
    case 'linux':
      return weavePlain(lab, contender, jobs);
    case 'ovn':
      return weaveOvn(lab, jobs);
    case 'ayatori':
      return weaveAyatori(lab);
  }
}
