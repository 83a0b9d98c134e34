// The command line: nouns and verbs over the client. It reads no environment and no disk; main.ts hands in what it needs.

import { Command, CommanderError } from 'commander';
import { KIND_NAMES, KINDS } from '../topology/kinds.ts';
import type { CliIo } from './context.ts';
import { EXIT, exitCodeOf, FLAG_AT, sentenceOf } from './exit.ts';
import { addHostVerbs } from './host.ts';
import { addInterface } from './interface.ts';
import { addPortVerbs } from './port.ts';
import { addResource } from './resource.ts';
import { addStatus } from './status.ts';
import { visible } from './table.ts';
import { addToken } from './token.ts';
import { addTrace } from './trace.ts';
import { addWatch } from './watch.ts';

const HELP = `
Processes:
  aya server | agent | demo     see aya server --help, aya agent --help, aya demo --help
  aya test [part...]            the whole test suite, or parts of it
  aya bench                     beside its peers on one machine, see aya bench --help

Examples:
  aya bridge create web
  aya port create vm1 --device web --addresses 10.0.1.11/24
  aya port bind vm1 h1:tap0 --wait
  aya rule create --chain guard --drop --protocol tcp --destination-ports 80-90
  aya trace --port vm1 'eth(02:00:00:00:00:01, ff:ff:ff:ff:ff:ff) arp(request, 02:00:00:00:00:01, 10.0.1.11, 10.0.1.1)'
  aya status

The server is that of --server, else of AYATORI_SERVER, else http://127.0.0.1:7780; the token that of --token, else of
AYATORI_TOKEN, else what admin.token in the state directory says.

Exit codes:
  0 done   1 failed   2 malformed command   3 not allowed   4 no such object   5 in the way   6 changed meanwhile
  7 makes no sense   8 too much   9 no server, host or agent   10 --wait: not live, or a port not up, in time   11 audit: differences`;

/** Runs one command; answers its exit code. Never throws. */
export async function runCli(words: readonly string[], terminal: CliIo): Promise<number> {
  const out = (text: string): void => terminal.out(visible(text));
  const io = { ...terminal, out, error: (text: string) => terminal.error(visible(text)) };
  const program = buildProgram(io);
  try {
    await program.parseAsync([...words], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    // Commander has said what it had to say, with the usage.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    io.error(`aya: ${sentenceOf(error, error instanceof Error ? FLAG_AT.get(error) : undefined)}\n`);
    return exitCodeOf(error);
  }
}

function buildProgram(io: CliIo): Command {
  const program = new Command('aya');
  program
    .description('Ayatori: virtual networks over any IP network')
    .usage('<noun> <verb> [words] [flags]')
    .version(io.version)
    .option('--json', 'answer in JSON')
    .option('--wait [seconds]', 'after a change: until every host forwards by it, at most so long (30)')
    .option('--server <url>', 'address of the server')
    .option('--token <token>', 'bearer token')
    .option('--fingerprint <sha256>', 'fingerprint of the certificate of an https server')
    .option('--state-dir <directory>', 'state directory of a server on this box, for its admin token')
    .addHelpText('after', HELP)
    .configureOutput({ writeOut: io.out, writeErr: io.error })
    .showHelpAfterError('(add --help to see what there is)')
    .exitOverride();
  for (const kind of KIND_NAMES) {
    const group = addResource(program, kind, io);
    if (KINDS[kind].noun === 'port') addPortVerbs(group, io);
    if (KINDS[kind].noun === 'host') addHostVerbs(group, io);
  }
  addInterface(program, io);
  addToken(program, io);
  addTrace(program, io);
  addStatus(program, io);
  addWatch(program, io);
  return program;
}
