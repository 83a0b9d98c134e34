// A tenant.
import Type, { type Static } from 'typebox';
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
