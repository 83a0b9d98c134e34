import { parseIp4 } from '../packet/address.ts';
import { datapathConformance, type Harness } from './conformance.ts';
import { MemoryDatapath } from './memory.ts';

const ip = (text: string) => parseIp4(text)!;

async function open(): Promise<Harness> {
  const datapath = new MemoryDatapath({ now: () => performance.now() });
  const take = (wanted: (at: number) => boolean) => {
    const taken = datapath.sent.filter((_, at) => wanted(at));
    const left = datapath.sent.filter((sent) => !taken.includes(sent));
    datapath.sent.splice(0, datapath.sent.length, ...left);
    return taken;
  };
  const peer = (remote: string) => ({
    local: ip('192.0.2.1'),
    remote: ip(remote),
    interfaceName: 'u0',
    mtuBytes: 1600,
  });
  return {
    datapath,
    guests: ['g1', 'g2', 'g3', 'g4'],
    taps: new Set(),
    peers: [peer('192.0.2.2'), peer('192.0.2.3')],
    stranger: ip('192.0.2.66'),
    guestSends: (interfaceName, frame) => datapath.receive(interfaceName, frame),
    guestReceived: async (interfaceName) =>
      take((at) => {
        const sent = datapath.sent[at]!;
        return sent.kind === 'guest' && sent.interfaceName === interfaceName;
      }).map(({ frame }) => frame),
    tunnelSends: (from, key, frame) => datapath.receiveTunnel(from, key, frame),
    tunnelSent: async () =>
      take((at) => datapath.sent[at]!.kind === 'tunnel').flatMap((sent) =>
        sent.kind === 'tunnel' ? [{ remote: sent.remote, key: sent.key, frame: sent.frame }] : [],
      ),
    cleanup: async () => datapath.close(),
  };
}

datapathConformance('memory', open);
