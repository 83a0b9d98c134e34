import { conformance } from './conformance.ts';
import { MemoryStore } from './memory.ts';

conformance({ name: 'memory', open: async (keepRevisions) => new MemoryStore({ keepRevisions }) });
