// Preloaded by the runner: with PROPERTY_SEED set, property tests draw the same examples every time. Without it each run
// draws its own and tells the seed when it fails.

import fc from 'fast-check';

const { PROPERTY_SEED } = process.env;
if (PROPERTY_SEED !== undefined) fc.configureGlobal({ seed: Number(PROPERTY_SEED) });
