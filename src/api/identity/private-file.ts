// Files of the state directory: whole or not there, and for their owner's eyes only.

import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

/** Writes the file with mode 0600, beside its place first, then moved there. */
export function writePrivateFile(path: string, text: string): void {
  const beside = `${path}.new`;
  const file = openSync(beside, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
}
