// For tests: two hosts, each with a guest, joined by an underlay; flows are installed by hand. Real programs send.

import assert from 'node:assert/strict';
import type { Action } from '../../../flow/actions.ts';
import {
  ETHER_TYPE,
  FIELD,
  type FieldName,
  markField,
  newKey,
  PROTOCOL,
  setMac,
  setU16,
  setU32,
} from '../../../flow/fields.ts';
import { parseIp, parseMac } from '../../../packet/address.ts';
import type { FlowEntry } from '../../datapath.ts';
import { type EbpfDatapath, type EbpfOptions, openEbpfDatapath } from '../ebpf.ts';
import type { Attachment } from '../loader.ts';
import { type Namespace, type Testbed, wire } from './testbed.ts';

const PORT = 6677;
/** The two ports of the guests are 101 and 102: one is this less the other. */
export const OTHER = 203;
export const GUEST_MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;
const UNDERLAYS = {
  ip4: { addresses: ['10.99.0.1', '10.99.0.2'], bits: 24 },
  ip6: { addresses: ['fd99::1', 'fd99::2'], bits: 64 },
} as const;
type Underlay = keyof typeof UNDERLAYS;

export interface Side {
  readonly host: Namespace;
  readonly guest: Namespace;
  readonly pins: string;
  readonly options: EbpfOptions;
  /** 1 or 2; the port of its guest is 100 more. */
  readonly number: number;
  datapath: EbpfDatapath;
}

export function flow(set: Partial<Record<FieldName, number>>, actions: readonly Action[]): FlowEntry {
  const [key, mask] = [newKey(), newKey()];
  for (const [name, value] of Object.entries(set) as [FieldName, number][]) {
    const { at, bytes } = FIELD[name];
    markField(mask, FIELD[name]);
    if (bytes === 6) setMac(key, at, value as never);
    else if (bytes === 2) setU16(key, at, value);
    else if (bytes === 1) key[at] = value;
    else setU32(key, at, value);
  }
  return { key, mask, actions };
}

/** Unicast to the other guest; its neighbour questions are answered by the data path. */
export function flowsOf(side: Side): FlowEntry[] {
  const port = 100 + side.number;
  const mac = parseMac(GUEST_MACS[2 - side.number]!)!;
  const answer: Action[] = [{ kind: 'answerNeighbour', mac, router: false }];
  return [
    flow({ port, ethernetDestination: mac }, [{ kind: 'output', port: OTHER - port }]),
    flow({ port, etherType: ETHER_TYPE.arp, protocol: 1, sourcePort: 0 }, answer),
    flow({ port, etherType: ETHER_TYPE.ip6, protocol: PROTOCOL.icmp6, sourcePort: 135 }, answer),
  ];
}

/** Plugs the guest, and makes the other host and its guest known. */
export function place(side: Side, underlay: Underlay): void {
  const { addresses } = UNDERLAYS[underlay];
  const [own, other] = [100 + side.number, OTHER - 100 - side.number];
  side.host.enter(() => {
    side.datapath.setHost(3 - side.number, {
      local: parseIp(addresses[side.number - 1]!)!,
      remote: parseIp(addresses[2 - side.number]!)!,
      interfaceName: 'ul',
      mtuBytes: 1600,
    });
    side.datapath.plug(own, 'vm', { tap: false });
    side.datapath.setDelivery(own, { kind: 'local', interfaceName: 'vm' });
    side.datapath.setDelivery(other, { kind: 'remote', host: 3 - side.number });
  });
}

export function build(
  bed: Testbed,
  underlay: Underlay,
  transmit: 'hand' | 'device',
  attachment: Attachment = 'tcx',
): [Side, Side] {
  const hosts = [bed.namespace('h1'), bed.namespace('h2')] as const;
  const { addresses, bits } = UNDERLAYS[underlay];
  wire(hosts[0], 'ul', hosts[1], 'ul', 1600);
  const side = (number: 1 | 2): Side => {
    const host = hosts[number - 1]!;
    const guest = bed.namespace(`v${number}`);
    host.ip('addr', 'add', `${addresses[number - 1]}/${bits}`, 'dev', 'ul', ...(bits === 64 ? ['nodad'] : []));
    wire(host, 'vm', guest, 'eth0', 1500);
    guest.ip('link', 'set', 'eth0', 'address', GUEST_MACS[number - 1]!);
    guest.ip('addr', 'add', `10.0.0.${number}/24`, 'dev', 'eth0');
    guest.ip('addr', 'add', `fd00::${number}/64`, 'dev', 'eth0', 'nodad');
    const pins = bed.pinDirectory();
    const options = { pinDirectory: pins, underlayInterfaces: ['ul'], tunnelUdpPort: PORT, transmit, attachment };
    const one = { host, guest, pins, options, number, datapath: host.enter(() => openEbpfDatapath(options)) };
    bed.onClose(() => one.datapath.close());
    place(one, underlay);
    return one;
  };
  return [side(1), side(2)];
}

export async function pings(from: Side, to: string, ...words: string[]): Promise<void> {
  const { code, output } = await from.guest.start('ping', '-n', '-W', '2', ...words, to);
  assert.equal(code, 0, output);
  assert.match(output, / 0% packet loss/);
}

/** Sends that many bytes over TCP from one guest to the other; resolves when all have come. */
export async function transfers(from: Side, to: Side, address: string, bytes: number): Promise<void> {
  const server = `require('net').createServer((s) => { let n = 0; s.on('data', (d) => { n += d.length; });
    s.on('end', () => { console.log(n); process.exit(0); }); }).listen(5001, '::', () => console.log('listening'));`;
  const client = `const s = require('net').connect(5001, '${address}', () => s.end(Buffer.alloc(${bytes})));`;
  const receiving = to.guest.start(process.execPath, '-e', server);
  for (let tries = 0; tries < 200 && !to.guest.run('ss', '-ltnH').includes(':5001'); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { code, output } = await from.guest.start('timeout', '20', process.execPath, '-e', client);
  assert.equal(code, 0, output);
  assert.equal((await receiving).output.trim().split('\n').at(-1), String(bytes));
}

export async function within(bed: Testbed, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    await bed.close();
  }
}
