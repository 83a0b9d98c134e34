// Which questions a change may have answered anew. The other half of question.ts: a walk tags what it asked, a change
// touches what it altered, and the flows in between are rechecked.

import type { Touch } from '../flow/tags.ts';
import type { Change } from '../topology/nodes.ts';
import { QUESTION } from './question.ts';
import type { Lesson } from './result.ts';

export function touchedBy(change: Change): Touch {
  switch (change.kind) {
    case 'port':
      return { question: QUESTION.port(change.id) };
    case 'bridge':
      return { question: QUESTION.bridge(change.id) };
    case 'router':
      return { question: QUESTION.router(change.id) };
    case 'members':
      return { question: QUESTION.members(change.bridgeId) };
    case 'configuredMac':
      return { question: QUESTION.mac(change.bridgeId, change.vlan, change.mac) };
    case 'configuredNeighbour':
      return { question: QUESTION.neighbour(change.bridgeId, change.ip) };
    case 'routes':
      return { question: QUESTION.routes(change.routerId), prefix: change.destination };
    case 'rule':
      return { question: QUESTION.chain(change.chainId), at: change.position };
    case 'chain':
      return { question: QUESTION.chain(change.id) };
    case 'addressSet':
      return { question: QUESTION.addressSet(change.id), prefix: change.prefix };
    case 'portGroup':
      return { question: QUESTION.portGroup(change.id) };
    case 'dhcp':
      return { question: QUESTION.dhcp(change.bridgeId) };
  }
}

/** A lesson that was taken, or what it had taught that expired. */
export function touchedByLesson(lesson: Lesson): Touch {
  return lesson.kind === 'mac'
    ? { question: QUESTION.mac(lesson.bridgeId, lesson.vlan, lesson.mac) }
    : { question: QUESTION.neighbour(lesson.portId, lesson.ip) };
}
