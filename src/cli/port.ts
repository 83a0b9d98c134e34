// aya port bind|unbind|peer|unpeer: where a port is plugged in.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { ApiError } from '../client/client.ts';
import { type CliIo, type Context, contextOf } from './context.ts';
import { CliError, EXIT, exitCodeOf, FLAG_AT } from './exit.ts';
import { placeOf } from './interface.ts';

export function addPortVerbs(group: Command, io: CliIo): void {
  group
    .command('bind <port> <host:interface>')
    .description('plug a port into an interface of a host; with --wait: until it is up, too')
    .addHelpText(
      'after',
      `\nExample:\n  aya port bind vm1 h1:tap0 --wait\n\nExit code ${EXIT.notLive}: not up in time.`,
    )
    .action(async (port: string, where: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const { host, interfaceName } = placeOf(where);
      const id = await context.names.idOf(['port'], port);
      const hostId = await context.names.idOf(['host'], host);
      const untilMs = context.io.nowMs() + (context.waitSeconds ?? 0) * 1000;
      const bound = await context.client.update('port', id, { hostId, interfaceName }).catch((error: unknown) => {
        throw inWords(error, port, where);
      });
      await context.wrote(`bound port ${port} to ${where}`, bound.revision, bound);
      if (context.waitSeconds !== undefined) await waitUp(context, { id, port, hostId, interfaceName, where, untilMs });
    });
  group
    .command('unbind <port>')
    .description('take a port off its interface')
    .addHelpText('after', '\nExample:\n  aya port unbind vm1 --wait')
    .action(async (port: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const id = await context.names.idOf(['port'], port);
      const freed = await context.client.update('port', id, { hostId: null, interfaceName: null });
      await context.wrote(`unbound port ${port}`, freed.revision, freed);
    });
  group
    .command('peer <port> <other>')
    .description('join two ports by a virtual wire')
    .addHelpText('after', '\nExample:\n  aya port peer web-up edge-web')
    .action(async (port: string, other: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const id = await context.names.idOf(['port'], port);
      const peered = await context.client.update('port', id, { peerId: await context.names.idOf(['port'], other) });
      await context.wrote(`peered port ${port} with ${other}`, peered.revision, peered);
    });
  group
    .command('unpeer <port>')
    .description('take away the virtual wire of a port')
    .addHelpText('after', '\nExample:\n  aya port unpeer web-up')
    .action(async (port: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const id = await context.names.idOf(['port'], port);
      const freed = await context.client.update('port', id, { peerId: null });
      await context.wrote(`unpeered port ${port}`, freed.revision, freed);
    });
}

/** A refusal to bind speaks of properties; here they are one word, or a wire that only another command takes away. */
function inWords(error: unknown, port: string, where: string): unknown {
  if (!(error instanceof ApiError)) return error;
  if (error.path === '/peerId') {
    return new CliError(exitCodeOf(error), `port ${port} is peered: aya port unpeer ${port} before it is bound`);
  }
  FLAG_AT.set(error, () => where);
  return error;
}

/** Two looks at a port are so far apart: a host reports a change within a tenth of a second. */
const LOOK_MS = 100;

interface Bound {
  readonly id: string;
  readonly port: string;
  readonly hostId: string;
  readonly interfaceName: string;
  /** HOST:INTERFACE, as it was typed. */
  readonly where: string;
  /** Of the clock of `io`. */
  readonly untilMs: number;
}

/** Waits until the host that a port is bound to delivers it; a CliError says why it does not. */
async function waitUp(context: Context, bound: Bound): Promise<void> {
  const { id, port, hostId, where, untilMs } = bound;
  for (;;) {
    const { status } = await context.client.get('port', id);
    // Until the host that had it before lets go, the word is that host's; until the port is out of the interface that it
    // was plugged into before, the word is about that one.
    const there = status?.state === 'up' && status.hostId === hostId && (await isPlugged(context, bound));
    if (there) {
      if (!context.json) context.out(`port ${port} is up at ${where}\n`);
      return;
    }
    if (context.io.nowMs() >= untilMs) {
      const state =
        status?.state === 'up' && status.hostId !== undefined
          ? `still up ${status.hostId === hostId ? 'at another interface' : `on ${await context.names.nameOf(['host'], status.hostId)}`}`
          : `${status?.state ?? 'down'}: ${status?.why ?? 'its host does not say why'}`;
      throw new CliError(
        EXIT.notLive,
        `port ${port} is not up at ${where} after ${context.waitSeconds} s, but ${state}`,
      );
    }
    await sleep(LOOK_MS, undefined, { signal: context.io.signal }).catch(() => {
      throw new CliError(EXIT.notLive, `stopped before port ${port} was up`);
    });
  }
}

/** Whether the host says that this port is in this interface. */
async function isPlugged({ client }: Context, { id, hostId, interfaceName }: Bound): Promise<boolean> {
  for await (const { portId, up } of client.interfaces({ hostId, name: interfaceName })) {
    if (portId === id && up) return true;
  }
  return false;
}
