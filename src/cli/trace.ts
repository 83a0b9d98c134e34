// aya trace: one packet, typed as words, explained device by device and rule by rule by the server, with the same
// simulation that the agents run.

import type { Command } from 'commander';
import { formatPacket } from '../packet/packet.ts';
import { parseFirstFragment, parseWords } from '../packet/words.ts';
import { type CliIo, contextOf } from './context.ts';
import { FLAG_AT, usage } from './exit.ts';

export function addTrace(program: Command, io: CliIo): void {
  program
    .command('trace <words...>')
    .description('explain what happens to a packet that enters at a port')
    .requiredOption('--port <name>', 'the port that it enters at, as if its guest had sent it')
    .option('--first <words>', 'of a later fragment the first one; none: the same words, at offset 0')
    .addHelpText(
      'after',
      `
Words stand in the order of the layers, source before destination:
  eth(MAC, MAC)  vlan(ID)  arp(request, MAC, IP, IP)  ip(IP, IP, ttl=64)  ip6(IP, IP)  tcp(PORT, PORT, syn)
  udp(PORT, PORT)  icmp(echo-request)  icmp6(echo-request)  ns(IP)  bytes(N)
A fragment says its place in ip or ip6: more (others follow), offset=BYTES.

Example:
  aya trace --port vm1 'eth(02:00:00:00:00:01, 02:00:00:00:00:02) ip(10.0.1.11, 10.0.2.12) tcp(40000, 80, syn)'
A later fragment is decided by the ports of its first, which its words say too:
  aya trace --port vm1 'eth(…, …) ip(10.0.1.11, 10.0.2.12, offset=1480) udp(5000, 53)'
  aya trace --port vm1 --first 'eth(…, …) ip(10.0.1.11, 10.0.2.12, more) udp(5000, 53)' \\
    'eth(…, …) ip(10.0.1.11, 10.0.2.12, offset=1480, protocol=17)'`,
    )
    .action(async (words: string[], options: TraceOptions, command: Command) => {
      const context = contextOf(io, command);
      const text = words.join(' ');
      const frame = packetOf('the packet', text);
      const first = options.first === undefined ? parseFirstFragment(text) : packetOf('--first', options.first);
      const portId = await context.names.idOf(['port'], options.port);
      const trace = await context.client.trace(portId, frame, first).catch((error: unknown) => {
        if (error instanceof Error) FLAG_AT.set(error, (path) => (path === '/first' ? '--first' : undefined));
        throw error;
      });
      if (context.json) return context.outJson(trace);
      const end = `${trace.verdict}: ${trace.why}`;
      const steps = trace.steps.map(({ depth, at, text }) => `${'  '.repeat(depth)}${at}: ${text}`);
      // A walk that ends by itself has said so in its last step.
      if (steps.at(-1) === end) steps.pop();
      context.out(`${[...steps, '', end].join('\n')}\n`);
      for (const need of trace.needs ?? []) {
        if (need.kind === 'device') context.out(`  must first know the device ${need.deviceId}\n`);
        else
          context.out(
            `  must first know who has ${need.ip} at port ${await context.names.nameOf(['port'], need.portId)}\n`,
          );
      }
      for (const action of trace.actions) context.out(`  ${await context.names.inText(describe(action))}\n`);
      for (const { to, frame } of trace.born) {
        context.out(`  sends ${formatPacket(Buffer.from(frame, 'hex'))} to ${await context.names.numbered(to)}\n`);
      }
      if (typeof trace.mask === 'string' && trace.mask !== '') {
        context.out(`the same holds for all packets with ${await context.names.inText(trace.mask)}\n`);
      }
    });
}

interface TraceOptions {
  readonly port: string;
  readonly first?: string;
}

function packetOf(what: string, words: string): Uint8Array {
  const frame = parseWords(words);
  if (!(frame instanceof Uint8Array)) throw usage(`${what}: ${frame.error}`);
  return frame;
}

/** Texts as they are; objects as `kind` and their other fields. */
function describe(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const { kind, ...rest } = value as Record<string, unknown>;
  const fields = Object.entries(rest).map(
    ([key, field]) => `${key} ${typeof field === 'object' ? JSON.stringify(field) : field}`,
  );
  return [...(kind === undefined ? [] : [String(kind)]), ...fields].join(' ');
}
