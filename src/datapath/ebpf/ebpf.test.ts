// The conformance suite on the kernel: one host, its guests and an underlay as network namespaces.

import { after, before, describe } from 'node:test';
import { DROP } from '../../flow/reasons.ts';
import { type Ip, type Ip4, parseIp4, readIp4, readU16, readU32, writeU16, writeU32 } from '../../packet/address.ts';
import { emitEthernet } from '../../packet/ethernet.ts';
import { emitIpv4, PROTOCOL } from '../../packet/ipv4.ts';
import { until } from '../conformance/bed.ts';
import { datapathConformance, type Harness, type TunnelPacket } from '../conformance.ts';
import { openEbpfDatapath } from './ebpf.ts';
import { CaptureSocket, interfaceIndex } from './sys.ts';
import { type Namespace, Testbed, whyNoKernelTests, wire } from './testing/testbed.ts';
import { removePins } from './versions.ts';

const PORT = 6677;
const LOCAL = parseIp4('192.0.2.1')!;
const PEERS = [parseIp4('192.0.2.2')!, parseIp4('192.0.2.3')!] as const;
const STRANGER = parseIp4('192.0.2.66')!;
const UNDERLAY_MTU_BYTES = 1600;
const GUESTS = ['g1', 'g2', 'g3', 'g4'];
const PATIENCE_MS = 2000;

const UDP_AT = 34;
const VXLAN_AT = 42;
const INNER_AT = 50;

interface World {
  readonly host: Namespace;
  readonly pins: string;
  readonly guests: ReadonlyMap<string, CaptureSocket>;
  readonly underlay: CaptureSocket;
  readonly hostMac: number;
}

function macOf(namespace: Namespace, name: string): number {
  const [link] = JSON.parse(namespace.ip('-j', 'link', 'show', 'dev', name)) as [{ address: string }];
  return Number.parseInt(link.address.replaceAll(':', ''), 16);
}

function build(bed: Testbed): World {
  const host = bed.namespace('host');
  const guest = bed.namespace('guest');
  const underlay = bed.namespace('under');
  for (const quiet of [guest, underlay, host]) {
    quiet.setting('ipv6/conf/all/disable_ipv6', '1');
    quiet.setting('ipv6/conf/default/disable_ipv6', '1');
  }
  wire(host, 'ul', underlay, 'ul', UNDERLAY_MTU_BYTES);
  host.ip('addr', 'add', '192.0.2.1/24', 'dev', 'ul');
  for (const last of [2, 3]) underlay.ip('addr', 'add', `192.0.2.${last}/24`, 'dev', 'ul');
  const capture = (namespace: Namespace, name: string): CaptureSocket => {
    const socket = namespace.enter(() => new CaptureSocket(interfaceIndex(name)!));
    bed.onClose(() => socket.close());
    return socket;
  };
  const guests = new Map<string, CaptureSocket>();
  for (const name of GUESTS) {
    wire(host, name, guest, name, 1500);
    guests.set(name, capture(guest, name));
  }
  const pins = bed.pinDirectory();
  return { host, pins, guests, underlay: capture(underlay, 'ul'), hostMac: macOf(host, 'ul') };
}

/** All that has come, as soon as it is `least` or time is up. */
async function collect<T>(least: number, take: () => T | undefined): Promise<T[]> {
  const found: T[] = [];
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    for (let one = take(); one !== undefined; one = take()) found.push(one);
    if (found.length >= least || performance.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function outerFrame(world: World, from: Ip4, key: number, frame: Uint8Array): Uint8Array {
  const payload = new Uint8Array(16 + frame.length);
  writeU16(payload, 0, 0xc001);
  writeU16(payload, 2, PORT);
  writeU16(payload, 4, payload.length);
  writeU32(payload, 8, 0x08000000);
  writeU32(payload, 12, (key << 8) >>> 0);
  payload.set(frame, 16);
  const header = {
    trafficClass: 0,
    id: 0,
    dontFragment: true,
    moreFragments: false,
    fragmentOffset: 0,
    ttl: 64,
    protocol: PROTOCOL.udp,
    source: from,
    destination: LOCAL,
    options: new Uint8Array(0),
  };
  return emitEthernet(
    { destination: world.hostMac as never, source: 0x020000000099 as never, tags: [], etherType: 0x0800 },
    emitIpv4(header, payload),
  );
}

/** The next tunnel packet on the underlay; what else is there (ARP) is passed over. */
function nextTunnelPacket(world: World): TunnelPacket | undefined {
  for (let packet = world.underlay.receive(); packet !== undefined; packet = world.underlay.receive()) {
    const { frame } = packet;
    if (frame.length < INNER_AT || readU16(frame, 12) !== 0x0800 || frame[23] !== PROTOCOL.udp) continue;
    if (readU16(frame, UDP_AT + 2) !== PORT) continue;
    return { remote: readIp4(frame, 30), key: readU32(frame, VXLAN_AT + 4) >>> 8, frame: frame.slice(INNER_AT) };
  }
  return undefined;
}

const skip = whyNoKernelTests();

for (const options of [{}, { attachment: 'filter', transmit: 'device' }] as const) {
  const words = Object.values(options).join(', ') || 'as it comes';
  describe(`in the kernel, ${words}`, { skip, concurrency: 1 }, () => {
    const bed = new Testbed(`c${Object.keys(options).length}`);
    let world: World;
    before(() => {
      world = build(bed);
    });
    after(() => bed.close());

    const open = async (): Promise<Harness> => {
      const datapath = world.host.enter(() =>
        openEbpfDatapath({ pinDirectory: world.pins, underlayInterfaces: ['ul'], tunnelUdpPort: PORT, ...options }),
      );
      const inHost = <A extends unknown[], R>(call: (...words: A) => R) => {
        return (...words: A): R => world.host.enter(() => call(...words));
      };
      const peer = (remote: Ip) => ({
        local: LOCAL,
        remote,
        interfaceName: 'ul',
        mtuBytes: UNDERLAY_MTU_BYTES,
      });
      return {
        // What names interfaces has to be called in the namespace of the host.
        datapath: new Proxy(datapath, {
          get(target, name) {
            const member = Reflect.get(target, name) as unknown;
            if (typeof member !== 'function') return member;
            const bound = member.bind(target) as (...words: unknown[]) => unknown;
            return name === 'wait' || name === 'poll' ? bound : inHost(bound);
          },
        }),
        guests: GUESTS,
        taps: new Set(['g2']),
        peers: [peer(PEERS[0]), peer(PEERS[1])],
        stranger: STRANGER,
        guestSends: (name, frame) => world.guests.get(name)!.send(frame),
        guestReceived: (name, least) => collect(least, () => world.guests.get(name)!.receive()?.frame),
        // The VXLAN device hands packets on in a softirq of its own, which may still be to come.
        tunnelSends: async (from, key, frame) => {
          const seen = () =>
            datapath
              .counters()
              .filter(({ kind, id }) => kind === 'tunnelRx' || (kind === 'drop' && id === DROP.noPeer))
              .reduce((sum, { packets }) => sum + packets, 0);
          const before = seen();
          world.underlay.send(outerFrame(world, from as Ip4, key, frame));
          await until(() => seen() > before);
        },
        tunnelSent: (least) => collect(least, () => nextTunnelPacket(world)),
        cleanup: async () => {
          datapath.close();
          removePins(world.pins);
          for (const socket of world.guests.values()) while (socket.receive() !== undefined);
          while (world.underlay.receive() !== undefined);
        },
      };
    };
    datapathConformance('eBPF', open);
  });
}
