// Why a change of the model cannot be: said of an object. Whoever knows where in the request the object stands makes an
// answer of it.

import type { Kind } from '../../topology/kinds.ts';
import type { Id } from '../../topology/resource.ts';
import type { ErrorCode } from '../errors.ts';

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly kind: Kind;
  readonly id: Id;
  /** JSON pointer into the object. */
  readonly path: string;
}

export class Refused extends Error {
  override readonly name = 'Refused';
  readonly refusal: Refusal;
  constructor(refusal: Refusal) {
    super(refusal.message);
    this.refusal = refusal;
  }
}
