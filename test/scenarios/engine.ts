// What runs scenarios: simulate() alone, the in-memory data path, or the kernel's program. All see the same commands.

import type { Change } from '../../src/topology/nodes.ts';

/** A frame that a guest gets. */
export interface Delivery {
  readonly port: string;
  readonly frame: Uint8Array;
}

export interface Sent {
  /** Empty when the engine does not know verdicts: only deliveries are compared then. */
  readonly verdict: readonly string[];
  readonly deliveries: readonly Delivery[];
}

export interface Engine {
  readonly name: string;
  /** The model has changed. */
  change(changes: readonly Change[]): Promise<void>;
  send(port: string, frame: Uint8Array): Promise<Sent>;
  /** Something learned expires: a question in the spelling of src/simulate/question.ts. */
  forget(question: string): Promise<void>;
  close(): Promise<void>;
}
