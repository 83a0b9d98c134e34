// Runs a program to its end, with its output captured and a deadline.

import { spawn } from 'node:child_process';

export interface Output {
  /** Exit code; 128 + signal number is not used: a killed program has code -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Written to its standard input, which is then closed. */
  readonly input?: string;
  /** Killed after this time; default 10 s. */
  readonly deadlineMs?: number;
}

/** The program could not be started, did not end in time, or ended with a code that `run` does not take. */
class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

const DEFAULT_DEADLINE_MS = 10_000;

/** Runs `argv` and gives its output whatever its exit code is. Throws CommandFailed when it does not start or end. */
export function attempt(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const [program, ...rest] = argv;
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  return new Promise((resolve, reject) => {
    // In a session of its own: Ctrl-C in a terminal must not end what takes a lab down.
    const child = spawn(program!, rest, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    let stdout = '';
    let stderr = '';
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      const said = `${stdout}${stderr}`.trim().split('\n').slice(-5).join('\n');
      reject(new CommandFailed(`"${argv.join(' ')}" did not end within ${deadlineMs} ms; it said last:\n${said}`));
    }, deadlineMs);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // A program that ends without reading its input is no failure of ours.
    child.stdin.on('error', () => {});
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new CommandFailed(`cannot run ${program}: ${error.message}`, { cause: error }));
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      resolve({ code: code ?? -1, stdout, stderr });
    });
    child.stdin.end(options.input ?? '');
  });
}

/** Like `attempt`, but an exit code other than 0 throws CommandFailed with what the program said. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const output = await attempt(argv, options);
  if (output.code !== 0) {
    const said = (output.stderr || output.stdout).trim();
    throw new CommandFailed(`"${argv.join(' ')}" ended with ${output.code}: ${said}`);
  }
  return output;
}

/** `ip -n NAMESPACE -batch -`: many operations in one process. */
export async function ipBatch(namespace: string, lines: readonly string[]): Promise<void> {
  const output = await attempt(['ip', '-n', namespace, '-batch', '-'], { input: `${lines.join('\n')}\n` });
  if (output.code === 0) return;
  const line = lines[Number(/Command failed -:(\d+)/.exec(output.stderr)?.[1] ?? 0) - 1] ?? '';
  throw new CommandFailed(`"ip ${line}" in namespace ${namespace}: ${output.stderr.trim().split('\n')[0]}`);
}
