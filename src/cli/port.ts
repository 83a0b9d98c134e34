// aya port bind|unbind|peer|unpeer: where a port is plugged in.

import type { Command } from 'commander';
import { type CliIo, contextOf } from './context.ts';
import { usage } from './exit.ts';

export function addPortVerbs(group: Command, io: CliIo): void {
  group
    .command('bind <port> <host:interface>')
    .description('plug a port into an interface of a host')
    .addHelpText('after', '\nExample:\n  aya port bind vm1 h1:tap0 --wait')
    .action(async (port: string, where: string, _options: object, command: Command) => {
      const context = contextOf(io, command);
      const colon = where.lastIndexOf(':');
      if (colon <= 0 || colon === where.length - 1)
        throw usage(`a binding is HOST:INTERFACE, like h1:tap0, not ${where}`);
      const id = await context.names.idOf(['port'], port);
      const hostId = await context.names.idOf(['host'], where.slice(0, colon));
      const bound = await context.client.update('port', id, { hostId, interfaceName: where.slice(colon + 1) });
      await context.wrote(`bound port ${port} to ${where}`, bound.revision, bound);
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
