// Known bugs, each a small change of one file. `find` must stand there exactly once: a mutant that no longer fits the
// code fails the run, so that the list cannot go stale unseen.

export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const MUTANTS: readonly Mutant[] = [
  // ---- codecs and checksums ----
  {
    name: 'codec: drop eligibility of a VLAN tag is not read',
    file: 'src/packet/ethernet.ts',
    find: 'dropEligible: (tci & 0x1000) !== 0',
    replace: 'dropEligible: (tci & 0x10000) !== 0',
  },
  {
    name: 'codec: a fragment offset is emitted in bytes',
    file: 'src/packet/ipv4.ts',
    find: '(header.fragmentOffset / 8)',
    replace: '(header.fragmentOffset & 0x1fff)',
  },
  {
    name: 'codec: an ICMP header is read beyond the end of its packet',
    file: 'src/packet/icmp.ts',
    find: 'if (end - at < ICMP_BYTES) return undefined;',
    replace: 'if (bytes.length - at < ICMP_BYTES) return undefined;',
  },
  {
    name: 'checksum: an odd last byte counts as the low one',
    file: 'src/packet/checksum.ts',
    find: 'total + (bytes[i]! << 8)',
    replace: 'total + bytes[i]!',
  },
  {
    name: 'checksum: the old word is not taken away by an update',
    file: 'src/packet/checksum.ts',
    find: '(~oldWord & 0xffff) + newWord',
    replace: 'newWord',
  },
  {
    name: 'checksum: the pseudo-header leaves out the protocol',
    file: 'src/packet/checksum.ts',
    find: 'addressSum(destination) + protocol +',
    replace: 'addressSum(destination) + (protocol >>> 8) +',
  },
  // ---- masks ----
  {
    name: 'destination port is read but not marked',
    file: 'src/flow/view.ts',
    find: 'markField(this.mask, FIELD.destinationPort);',
    replace: '',
  },
  {
    name: 'one bit less of a prefix is marked',
    file: 'src/flow/view.ts',
    find: 'this.#markAddress(field, prefix.bits);',
    replace: 'this.#markAddress(field, Math.max(prefix.bits - 1, 0));',
  },
  {
    name: 'a route look-up marks only the prefix that it found',
    file: 'src/flow/view.ts',
    find: 'this.#markAddress(field, bits);',
    replace: 'this.#markAddress(field, Math.min(bits, 16));',
  },
  {
    name: 'source MAC is read but not marked',
    file: 'src/flow/view.ts',
    find: 'markField(this.mask, FIELD.ethernetSource);',
    replace: '',
  },
  {
    name: 'VLAN tag is read but not marked',
    file: 'src/flow/view.ts',
    find: 'markField(this.mask, popped ? FIELD.innerVlan : FIELD.vlan);',
    replace: '',
  },
  {
    name: 'kind of a VLAN tag is read but not marked',
    file: 'src/flow/view.ts',
    find: 'markField(this.mask, FIELD.vlanBits);',
    replace: '',
  },
  {
    name: 'fragment is read but not marked',
    file: 'src/flow/view.ts',
    find: 'markField(this.mask, FIELD.fragment);',
    replace: '',
  },
  {
    name: 'TCP flags are read but not marked',
    file: 'src/flow/view.ts',
    find: 'this.mask[FIELD.tcpFlags.at] = this.mask[FIELD.tcpFlags.at]! | of;',
    replace: '',
  },
  {
    name: 'an answer to ARP is cached without the fields that it is made of',
    file: 'src/simulate/simulate.ts',
    find: 'markField(walk.view.mask, FIELD[field]);',
    replace: '',
  },
  {
    name: 'the ladder of prefixes loses its last rung',
    file: 'src/flow/masks.ts',
    find: 'const ADDRESS_BYTES = [0, 4, 6, 8, 12, 13, 14, 15, 16] as const;',
    replace: 'const ADDRESS_BYTES = [0, 4, 6, 8, 12, 13, 14, 15, 15] as const;',
  },
  // ---- tags ----
  {
    name: 'the tag of a route look-up is too narrow',
    file: 'src/simulate/router/route.ts',
    find: 'walk.ask(QUESTION.routes(router.id), asked);',
    replace:
      'walk.ask(QUESTION.routes(router.id), { ip: walk.peekDestination(), bits: typeof walk.peekDestination() === "number" ? 32 : 128 });',
  },
  {
    name: 'a chain that was passed leaves no tag beyond its last rule',
    file: 'src/simulate/chain.ts',
    find: `  walk.askedRules(chainId, Number.POSITIVE_INFINITY);
  return undefined;
}

function verdictOf`,
    replace: `  walk.askedRules(chainId, chain.rules.at(-1)?.position ?? 0);
  return undefined;
}

function verdictOf`,
  },
  {
    name: 'a MAC that is not known leaves no tag',
    file: 'src/simulate/walk.ts',
    find: 'this.ask(QUESTION.mac(bridge.id, vlan, mac));',
    replace: 'if (bridge.macs.has([vlan, mac].join("/"))) this.ask(QUESTION.mac(bridge.id, vlan, mac));',
  },
  {
    name: 'a neighbour that was learned leaves no tag',
    file: 'src/simulate/walk.ts',
    find: 'this.ask(QUESTION.neighbour(port.id, ip));',
    replace: '',
  },
  {
    name: 'an address that is not in a set leaves no tag',
    file: 'src/simulate/chain.ts',
    find: 'walk.ask(QUESTION.addressSet(setId), asked);',
    replace: 'if (values.length > 0) walk.ask(QUESTION.addressSet(setId), asked);',
  },
  {
    name: 'the members of a flood leave no tag',
    file: 'src/simulate/bridge.ts',
    find: `  walk.ask(QUESTION.members(bridge.id));
  const stop =`,
    replace: '  const stop =',
  },
  {
    name: 'a port group leaves no tag',
    file: 'src/simulate/walk.ts',
    find: 'this.ask(QUESTION.portGroup(groupId));',
    replace: '',
  },
  {
    name: 'a changed rule touches only flows that ended at it',
    file: 'src/flow/tags.ts',
    find: 'touch.at <= tag.upTo',
    replace: 'touch.at === tag.upTo',
  },
  {
    name: 'the questions of an answer are not those of the flow',
    file: 'src/simulate/simulate.ts',
    find: 'walk.tags.push(...reply.tags);',
    replace: '',
  },
  // ---- behaviour ----
  {
    name: 'TTL is not decremented',
    file: 'src/simulate/router/route.ts',
    find: 'view.decrementTtl();',
    replace: '',
  },
  {
    name: 'TTL of 1 is forwarded',
    file: 'src/simulate/router/route.ts',
    find: 'ttl - walk.view.header.ttlSteps > 1',
    replace: 'ttl - walk.view.header.ttlSteps > 0',
  },
  {
    name: 'a frame goes back out of the port it came in by',
    file: 'src/simulate/bridge.ts',
    find: 'if (egressId === port?.id)',
    replace: 'if (port === undefined && egressId === undefined)',
  },
  {
    name: 'outbound chain of the port is not run',
    file: 'src/simulate/port.ts',
    find: "return runPortChain(walk, port, 'out', reject);",
    replace: 'return undefined;',
  },
  {
    name: 'an access VLAN is not taken off',
    file: 'src/simulate/bridge.ts',
    find: '  walk.view.popVlan();',
    replace: '',
  },
  {
    name: 'ICMP errors are sent about ICMP errors',
    file: 'src/simulate/icmp.ts',
    find: 'return isIcmp && isIcmpError(frame[packet.payloadAt]!, packet.family) ? undefined : packet;',
    replace: 'return isIcmp && frame.length === 0 ? undefined : packet;',
  },
  {
    name: 'the highest weight wins',
    file: 'src/topology/graph/router-node.ts',
    find: 'a.weight - b.weight',
    replace: 'b.weight - a.weight',
  },
];
