// What the server adds to what was asked for: numbers, addresses of router ports, positions of rules, and the other end
// of a peering. Works on the draft when all operations of the request are in it, so their order does not matter.

import type { Rule } from '../../topology/chain.ts';
import type { Port } from '../../topology/port.ts';
import type { Id } from '../../topology/resource.ts';
import type { Draft, Edit } from './draft.ts';
import type { Draw } from './numbers.ts';
import { Refused } from './refused.ts';

/** Room between rules that are put one after the other, so that another fits between them. */
const POSITION_STEP = 10;

/** Changes the draft; throws Refused when a peering contradicts itself. */
export function derive(draft: Draft, draw: Draw): void {
  peerBothEnds(draft);
  for (const { before, after } of draft.edited('port')) if (after !== undefined) derivePort(draft, before, after, draw);
  for (const { after } of draft.edited('bridge')) {
    if (after !== undefined && after.floodKey === undefined) draft.put('bridge', { ...after, floodKey: draw.number() });
  }
  deriveRules(draft, draw);
}

function derivePort(draft: Draft, before: Port | undefined, after: Port, draw: Draw): void {
  const router = draft.get('router', after.deviceId) !== undefined;
  const bridge = draft.get('bridge', after.deviceId) !== undefined;
  const tunnelKey = before?.tunnelKey ?? draw.number();
  const mac = after.mac ?? (router ? macOf(tunnelKey) : undefined);
  draft.put('port', {
    ...after,
    tunnelKey,
    ...(mac === undefined ? {} : { mac }),
    ...(router || bridge ? { deviceKind: router ? 'router' : 'bridge' } : {}),
  });
}

/** Locally administered, one for each port number. */
function macOf(number: number): string {
  return `02:61:79:${number
    .toString(16)
    .padStart(6, '0')
    .replace(/..(?=.)/g, '$&:')}`;
}

/** A rule that says something else counts anew: its number changes with it. */
function deriveRules(draft: Draft, draw: Draw): void {
  const last = new Map<Id, number>();
  const atEnd = (chainId: Id): number => {
    const known = last.get(chainId) ?? lastPosition(draft, chainId);
    const position = (Math.floor(known / POSITION_STEP) + 1) * POSITION_STEP;
    last.set(chainId, position);
    return position;
  };
  for (const { before, after } of draft.edited('rule')) {
    if (after === undefined) continue;
    const same = before !== undefined && meaning(before) === meaning(after);
    draft.put('rule', {
      ...after,
      position: after.position ?? atEnd(after.chainId),
      number: same ? before.number : draw.rule(),
    });
  }
}

function lastPosition(draft: Draft, chainId: Id): number {
  let last = draft.topology.chain(chainId)?.rules.at(-1)?.position ?? 0;
  for (const { after } of draft.edited('rule')) {
    if (after?.chainId === chainId && after.position > last) last = after.position;
  }
  return last;
}

const meaning = ({ match, action, jumpChainId }: Rule): string => JSON.stringify([match, action, jumpChainId]);

/** Both ports of a peering name each other: what one end says is made true of the other, unless that was told else. */
function peerBothEnds(draft: Draft): void {
  const changed = new Map<Id, Edit<'port'>>();
  for (const edit of draft.edited('port')) {
    if (edit.before?.peerId !== edit.after?.peerId) changed.set(edit.id, edit);
  }
  for (const { id, before } of changed.values()) {
    const old = before?.peerId === undefined ? undefined : draft.get('port', before.peerId);
    if (old !== undefined && old.peerId === id && draft.get('port', id)?.peerId !== old.id && !changed.has(old.id)) {
      draft.put('port', withPeer(old, undefined));
    }
  }
  for (const { id, after } of changed.values()) {
    const peer = after?.peerId === undefined ? undefined : draft.get('port', after.peerId);
    if (peer === undefined || peer.id === id || peer.peerId === id) continue;
    if (peer.peerId !== undefined) {
      refuse(id, `port ${peer.id} is peered with port ${peer.peerId}: clear that first`);
    }
    if (changed.has(peer.id)) {
      refuse(id, `the request both peers port ${peer.id} and clears its peer`);
    }
    draft.put('port', withPeer(peer, id));
  }
}

function refuse(id: Id, message: string): never {
  throw new Refused({ code: 'conflict', message, kind: 'port', id, path: '/peerId' });
}

function withPeer(port: Port, peerId: Id | undefined): Port {
  const { peerId: _, ...rest } = port;
  return peerId === undefined ? rest : { ...rest, peerId };
}
