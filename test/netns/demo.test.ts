// The demo as a person runs it: it proves itself, says in one sentence why it cannot start, and leaves nothing.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DEMO_PORT, LAB_NAME } from '../../src/demo/demo.ts';
import { STEPS } from '../../src/demo/steps.ts';
import { attempt, run } from '../../src/lab/command.ts';
import { LAB_ROOT, namespaceNames } from '../../src/lab/ledger.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { needsRoot } from './root.ts';

const PROGRAM = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const DEADLINE_MS = 180_000;

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** The demo as a process of its own. */
function start(words: readonly string[], options: { readonly uid?: number; readonly path?: string } = {}) {
  const child = spawn(process.execPath, [PROGRAM, 'demo', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    ...(options.path === undefined ? {} : { env: { ...process.env, PATH: `${options.path}:${process.env.PATH}` } }),
  });
  const seen = { output: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      seen.output += text;
    });
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code) => resolve({ code, output: seen.output }));
  });
  const says = (pattern: RegExp) =>
    waitFor(() => pattern.test(seen.output), { what: `the demo to say ${pattern}`, deadlineMs: DEADLINE_MS });
  return { child, ended, says };
}

/** What the demo must not change: links, addresses, routes, rules and settings of the machine's own network. */
async function machineNetwork(): Promise<string[]> {
  const commands = [
    ['ip', '-o', 'link'],
    // Without the lifetimes, which count down by themselves.
    ['sh', '-c', 'ip -o addr | sed "s/valid_lft.*//"'],
    ['sh', '-c', 'ip route show table all; ip -6 route show table all; ip rule; ip -6 rule'],
    ['sh', '-c', 'if command -v nft >/dev/null; then nft list ruleset; fi'],
    ['sh', '-c', 'grep -rs . /proc/sys/net/ipv4/conf /proc/sys/net/ipv6/conf /proc/sys/net/ipv4/ip_forward | sort'],
  ];
  return Promise.all(commands.map(async (argv) => (await attempt(argv)).stdout));
}

function assertNothingLeft(): void {
  assert.deepEqual(
    namespaceNames().filter((name) => name.startsWith(`${LAB_NAME}-`)),
    [],
  );
  assert.ok(!existsSync(join(LAB_ROOT, LAB_NAME)));
  assert.ok(!readFileSync('/proc/self/mountinfo', 'utf8').includes(join(LAB_ROOT, LAB_NAME)));
}

/** One sentence, and the exit code of "cannot start". */
async function assertRefused(ended: Promise<Ended>, sentence: RegExp): Promise<void> {
  const { code, output } = await ended;
  assert.match(output, sentence);
  assert.equal(output.trim().split('\n').length, 1, output);
  assert.equal(code, 2);
}

describe('demo', { skip: needsRoot() }, () => {
  test('--once proves every step, leaves nothing and does not touch the network of the machine', async () => {
    const before = await machineNetwork();
    const { code, output } = await start(['--once']).ended;
    assert.equal(code, 0, output);
    assert.match(output, new RegExp(`All ${STEPS.length} steps were as expected`));
    for (const { name } of STEPS) assert.ok(output.includes(name), `${name} is in the report`);
    assertNothingLeft();
    assert.deepEqual(await machineNetwork(), before);
  });

  test('a second demo is refused while one runs; Ctrl-C takes the first one down', async () => {
    const first = start([]);
    await first.says(/hosts alive/);
    await assertRefused(
      start(['--once']).ended,
      /"aya-demo" is running already, as process \d+: stop that one first\./,
    );
    first.child.kill('SIGINT');
    const { code, output } = await first.ended;
    assert.equal(code, 0);
    assert.doesNotMatch(output, /FAILED|failed/);
    assert.match(output, /taking everything down\n.*nothing is left\n$/);
    assertNothingLeft();
  });

  test('a demo whose output nobody reads any more takes everything down', async () => {
    const { child, ended, says } = start([]);
    await says(/hosts alive/);
    child.stdout.destroy();
    await ended;
    assertNothingLeft();
  });

  test('a demo that was killed is cleaned up by the next one', async () => {
    const first = start([]);
    await first.says(/woven/);
    first.child.kill('SIGKILL');
    await first.ended;
    assert.ok(namespaceNames().includes(`${LAB_NAME}-host1`), 'what it made is still there');
    const second = start([]);
    await second.says(/took down what was left of aya-demo/);
    await second.says(/hosts alive/);
    second.child.kill('SIGTERM');
    await second.ended;
    assertNothingLeft();
  });

  test('a namespace of the same name is not touched', async () => {
    await run(['ip', 'netns', 'add', `${LAB_NAME}-mine`]);
    try {
      await assertRefused(start(['--once']).ended, /aya-demo-mine exist already and were not made by this program/);
      assert.ok(namespaceNames().includes(`${LAB_NAME}-mine`));
    } finally {
      await run(['ip', 'netns', 'delete', `${LAB_NAME}-mine`]);
    }
    assertNothingLeft();
  });

  test('a taken port is said', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(DEMO_PORT, '127.0.0.1', resolve));
    try {
      await assertRefused(start(['--once']).ended, /TCP port 7780 of 127\.0\.0\.1 is taken/);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    assertNothingLeft();
  });

  test('a machine that cannot mount bpffs is told so', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'fake-'));
    try {
      writeFileSync(join(directory, 'mount'), '#!/bin/sh\necho "unknown filesystem type bpf" >&2\nexit 32\n');
      chmodSync(join(directory, 'mount'), 0o755);
      const sentence = /A BPF file system cannot be mounted here \(unknown filesystem type bpf\)/;
      await assertRefused(start(['--once'], { path: directory }).ended, sentence);
    } finally {
      rmSync(directory, { recursive: true });
    }
    assertNothingLeft();
  });

  test('an ordinary user is told to be root', async (context) => {
    const nobody = 65534;
    const readable = await attempt(['setpriv', `--reuid=${nobody}`, '--clear-groups', 'test', '-r', PROGRAM]);
    if (readable.code !== 0) return context.skip('the checkout is not readable for others');
    await assertRefused(start(['--once'], { uid: nobody }).ended, /run it as root or with sudo/);
  });
});
