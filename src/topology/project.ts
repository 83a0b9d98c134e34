// A tenant.
import Type, { type Static } from 'typebox';
import { type Finding, invalid } from './problem.ts';
import { resource } from './resource.ts';

export const projectSchema = resource(
  {
    quotas: Type.Record(Type.String(), Type.Integer({ minimum: 0 }), {
      description: 'kind of object -> how many there may be; a kind that is not named has no limit',
      default: {},
    }),
  },
  'a tenant',
);
export type Project = Static<typeof projectSchema>;

/** `kinds`: the names that a quota may have. */
export function checkProject({ quotas }: Project, kinds: readonly string[]): Finding[] {
  return Object.keys(quotas)
    .filter((kind) => !kinds.includes(kind))
    .map((kind) => invalid(`/quotas/${kind}`, `there is no kind ${kind}; there are ${kinds.join(', ')}`));
}
