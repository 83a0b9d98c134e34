// Whether a change of the model makes sense: a pure comparison of the topology before it and as it would be. The checks
// of one kind are beside its schema; here are those that all kinds share.

import { checkRule } from './chain.ts';
import { checkDhcpHost, checkDhcpSubnet } from './dhcp.ts';
import { RELATIONS_TO, referencesOf } from './graph/references.ts';
import { stateOf, usersOf } from './graph/state.ts';
import { checkAddressSet, checkPortGroup } from './group.ts';
import { checkTunnelZone } from './host.ts';
import { KIND_NAMES, KINDS, type Kind, type Resource, type ResourceRef } from './kinds.ts';
import type { Topology } from './nodes.ts';
import { checkPort } from './port.ts';
import { type Checking, conflict, type Finding, invalid, PROBLEM_STATUS, type Problem } from './problem.ts';
import { checkProject } from './project.ts';
import type { Id } from './resource.ts';
import { checkRoute } from './route.ts';
import type { TopologyChange } from './snapshot.ts';

/**
 * What is wrong with the change; nothing: it may be made. `after` is `before` with the change applied. Objects that
 * the deleted ones own (KINDS.owner) and the other ends of wires are part of the change already; documents have
 * passed their schemas. Of an object that names what is not there, or was nonsense before, no more is said.
 */
export function check(
  change: Pick<TopologyChange, 'put' | 'del'>,
  before: Topology,
  after: Topology,
): readonly Problem[] {
  const checking = checkingOf(before, after);
  const put = new Set(change.put.map(({ value }) => value.id));
  const problems: Problem[] = [];
  const add = (kind: Kind, id: Id, findings: readonly Finding[]) => {
    for (const finding of findings) problems.push({ kind, id, ...finding, status: PROBLEM_STATUS[finding.code] });
  };
  for (const resource of change.put) {
    const { kind, value } = resource;
    const shared = [...checkIdentity(resource, before, after), ...checkReferences(resource, before, after)];
    const isWhole = referencesOf(kind, value as never).every(({ relation, id }) => isThere(relation.to, id, after));
    const own = shared.length > 0 || !isWhole ? [] : checkKind(resource, checking);
    add(kind, value.id, shared.length > 0 ? shared : [...checkQuota(resource, checking), ...own]);
  }
  for (const { kind, id } of change.del) add(kind, id, checkUnused(kind, id, put, checking));
  return problems;
}

function checkingOf(before: Topology, after: Topology): Checking {
  const state = stateOf(after);
  const answers = new Map<string, unknown>();
  return {
    before,
    after,
    users: (relation, id) => usersOf(state, relation, id),
    named: (kind, id) => named(kind, id, after.object(kind, id) ?? before.object(kind, id)),
    once: <T>(key: string, make: () => T): T => {
      if (!answers.has(key)) answers.set(key, make());
      return answers.get(key) as T;
    },
  };
}

const named = (kind: Kind, id: Id, object: { readonly name: string } | undefined): string =>
  object === undefined || object.name === '' ? `${kind} ${id}` : `${kind} ${JSON.stringify(object.name)} (${id})`;

function checkKind(resource: Resource, checking: Checking): Finding[] {
  switch (resource.kind) {
    case 'project':
      return checkProject(resource.value, KIND_NAMES);
    case 'port':
      return checkPort(resource.value, checking);
    case 'route':
      return checkRoute(resource.value, checking);
    case 'rule':
      return checkRule(resource.value, checking);
    case 'addressSet':
      return checkAddressSet(resource.value);
    case 'portGroup':
      return checkPortGroup(resource.value, checking);
    case 'dhcpSubnet':
      return checkDhcpSubnet(resource.value, checking);
    case 'dhcpHost':
      return checkDhcpHost(resource.value, checking);
    case 'tunnelZone':
      return checkTunnelZone(resource.value, checking);
    case 'bridge':
    case 'router':
    case 'chain':
    case 'host':
      return [];
  }
}

/** Ids name one object of whatever kind; what is fixed stays. */
function checkIdentity({ kind, value }: Resource, before: Topology, after: Topology): Finding[] {
  const old = before.object(kind, value.id);
  if (old === undefined) {
    const other = KIND_NAMES.find((one) => one !== kind && after.object(one, value.id) !== undefined);
    if (other === undefined) return [];
    return [conflict('/id', `${value.id} is the id of a ${other}: choose another`, [{ kind: other, id: value.id }])];
  }
  const [was, is] = [old, value] as unknown as [Record<string, unknown>, Record<string, unknown>];
  return KINDS[kind].fixed
    .filter((name) => was[name] !== is[name])
    .map((name) => invalid(`/${name}`, `${name} never changes: leave it ${was[name]}, or create another ${kind}`));
}

const isThere = (kinds: readonly Kind[], id: Id, topology: Topology): boolean =>
  kinds.some((kind) => topology.object(kind, id) !== undefined);

/** In a part of the world an object may name what is not in that part: that it named it before is no news. */
function checkReferences({ kind, value }: Resource, before: Topology, after: Topology): Finding[] {
  const old = before.object(kind, value.id);
  const namedBefore = old === undefined ? [] : referencesOf(kind, old as never);
  return referencesOf(kind, value as never).flatMap(({ relation, id, pointer }): Finding[] => {
    if (isThere(relation.to, id, after)) return [];
    const isOld = namedBefore.some((one) => one.relation === relation && one.id === id);
    if (isOld && !isThere(relation.to, id, before)) return [];
    const wanted = relation.to.join(' or ');
    const other = KIND_NAMES.find((one) => after.object(one, id) !== undefined);
    if (other !== undefined) return [invalid(pointer, `${id} is a ${other}: name a ${wanted}`)];
    const deleted = relation.to.find((to) => before.object(to, id) !== undefined);
    if (deleted !== undefined) {
      return [invalid(pointer, `${named(deleted, id, before.object(deleted, id))} is deleted by the same request`)];
    }
    return [invalid(pointer, `there is no ${wanted} ${id}: create it first, or name another`)];
  });
}

/** As many as a quota allows may be there; more that were there before may stay. */
function checkQuota({ kind, value }: Resource, { before, after, users, named }: Checking): Finding[] {
  const { projectId } = value;
  if (projectId === undefined || before.object(kind, value.id)?.projectId === projectId) return [];
  const quotas = after.object('project', projectId)?.quotas ?? {};
  const quota = Object.hasOwn(quotas, kind) ? quotas[kind] : undefined;
  const count = users(`${kind}.projectId`, projectId).length;
  if (quota === undefined || count <= quota) return [];
  const full = `${named('project', projectId)} may have ${quota} of kind ${kind}, and this would make ${count}`;
  return [
    conflict('/projectId', `${full}: delete some, or raise quotas.${kind}`, [{ kind: 'project', id: projectId }]),
  ];
}

/** More users than these are counted, not named. */
const NAMED_USERS = 5;

/** Whoever names the object still; those of the change itself are told on their own side. */
function checkUnused(kind: Kind, id: Id, put: ReadonlySet<Id>, { users, named }: Checking): Finding[] {
  const seen = new Set<Id>();
  const objects: ResourceRef[] = [];
  for (const relation of RELATIONS_TO[kind]) {
    for (const user of users(relation.name, id)) {
      if (put.has(user) || seen.has(user)) continue;
      seen.add(user);
      objects.push({ kind: relation.kind, id: user });
    }
  }
  if (objects.length === 0) return [];
  return [{ code: 'inUse', message: inUseMessage(named(kind, id), objects, named), path: '', objects }];
}

/** The message for the users that the caller may see: `objects` of an inUse problem, or some of them. */
function inUseMessage(what: string, objects: readonly ResourceRef[], named: (kind: Kind, id: Id) => string): string {
  const names = objects.slice(0, NAMED_USERS).map((user) => named(user.kind, user.id));
  const more = objects.length - names.length;
  const by = more > 0 ? `${names.join(', ')} and ${more} more` : names.join(', ');
  return `${what} is in use by ${by}: change or delete ${objects.length === 1 ? 'that' : 'those'} first`;
}
