// Tags: the questions that a simulation asked, for the whole class it answered for. A flow keeps its tags; a change
// is told as the questions whose answer it may alter, and exactly the flows that asked one of them are rechecked.
// A tag names the question, found or not: "routes of r overlapping 10.0.3.0/24", "chain c up to rule 4".

import { type Prefix, prefixesOverlap } from '../packet/address.ts';

export interface Tag {
  /** `routes/<id>`, `chain/<id>`, `mac/<bridge>/<vlan>/<mac>` …: flows and changes must spell it the same. */
  readonly question: string;
  /** Only answers that overlap this prefix matter (the bits that were marked). */
  readonly prefix?: Prefix;
  /** Only positions up to and including this one matter (rules of a chain); Infinity when its end was reached. */
  readonly upTo?: number;
}

/** A change, told as the question whose answer it may alter. Without `prefix` or `at` it touches all askers. */
export interface Touch {
  readonly question: string;
  readonly prefix?: Prefix;
  readonly at?: number;
}

export function touches(touch: Touch, tag: Tag): boolean {
  if (touch.question !== tag.question) return false;
  if (touch.prefix !== undefined && tag.prefix !== undefined && !prefixesOverlap(touch.prefix, tag.prefix))
    return false;
  return touch.at === undefined || tag.upTo === undefined || touch.at <= tag.upTo;
}
