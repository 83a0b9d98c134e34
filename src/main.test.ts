// The program as it is started: settings, a server process, and the command line against it.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const PROGRAM = join(import.meta.dirname, 'main.ts');
const directory = mkdtempSync(join(tmpdir(), 'aya-main-'));
after(() => rmSync(directory, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

function aya(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const env = { PATH: '/usr/bin:/bin', ...environment };
    execFile(process.execPath, [PROGRAM, ...words], { env }, (failure, out, error) => {
      resolve({ code: failure === null ? 0 : Number(failure.code), out, error });
    });
  });
}

test('the settings that would hold are printed: file, then environment, then flags', async () => {
  const file = join(directory, 'agent.json');
  writeFileSync(file, '{"stateDir": "/from/file", "runDir": "/from/file", "logLevel": "warn"}');
  const environment = { AYATORI_RUN_DIR: '/from/environment', AYATORI_LOG_LEVEL: 'error' };
  const { code, out } = await aya(['agent', '--config', file, '--log-level', 'debug', '--print-config'], environment);
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(out), {
    stateDir: '/from/file',
    runDir: '/from/environment',
    logLevel: 'debug',
    tunnelUdpPort: 6677,
    encapTx: 'hand',
  });
});

test('a wrong setting, flag or file ends with 2 and one sentence', async () => {
  const wrong: [string[], RegExp][] = [
    [['server', '--listen', 'here'], /^aya server: --listen is "here"; wanted: .*HOST:PORT.*\n$/],
    [['server', '--lisen', 'x'], /^aya server: Unknown option '--lisen'.*see aya server --help\n$/],
    [['agent', '--encap-tx', 'card'], /^aya agent: --encap-tx is "card"; wanted: .*hand, .*device.*\n$/],
    [['agent', '--config', '/nowhere.json'], /^aya agent: \/nowhere\.json: there is no such file\n$/],
    [['server', '--tls-key', 'k.pem'], /^aya server: tlsCertificate and tlsKey belong together/],
    [['demo', '--onse'], /^aya demo: Unknown option '--onse'/],
  ];
  for (const [words, said] of wrong) {
    const { code, error } = await aya(words);
    assert.equal(code, 2, error);
    assert.match(error, said);
  }
});

test('an agent that has not joined ends with 1 and says how to join', async () => {
  const { code, error } = await aya(['agent', '--state-dir', directory, '--run-dir', directory]);
  assert.equal(code, 1);
  assert.match(error, /this host has not joined; get a join token with "aya host add NAME"\n$/);
  const empty = await aya(['agent', '--state-dir', directory, '--run-dir', directory, '--join-token', '']);
  assert.deepEqual([empty.code, empty.error], [code, error]);
});

test('a state directory that cannot be made is told', async () => {
  for (const name of ['server', 'agent']) {
    const { code, error } = await aya([name, '--state-dir', '/proc/ayatori/state']);
    assert.equal(code, 1);
    assert.match(error, /^aya \w+: \/proc\/ayatori\/state cannot be the state directory \(ENOENT.*name another/);
    assert.equal(error.trim().split('\n').length, 1);
  }
});

test('without a token the command line says where one could come from', async () => {
  const { code, error } = await aya(['bridge', 'list', '--state-dir', directory]);
  assert.equal(code, 3);
  assert.match(error, /there is no .*admin\.token here; give a token with --token or AYATORI_TOKEN/);
});

/** A server process and its address, once it says that it is up. */
async function startServer(
  state: string,
): Promise<{ url: string; stop: () => Promise<number | null>; log: () => string }> {
  const child = spawn(process.execPath, [PROGRAM, 'server', '--state-dir', state, '--listen', '127.0.0.1:0'], {
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let log = '';
  const closed = new Promise<number | null>((done) => child.once('close', done));
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
      const found = /"url":"([^"]+)"/.exec(log);
      if (found?.[1] !== undefined) resolve(found[1]);
    });
    closed.then(() => reject(new Error(`the server ended: ${log}`)));
  });
  const stop = () => {
    child.kill('SIGTERM');
    return closed;
  };
  return { url, stop, log: () => log };
}

test('a server process keeps what it was told over a restart, and logs JSON alone', async () => {
  const state = join(directory, 'state');
  const first = await startServer(state);
  const words = (url: string, ...more: string[]) => [...more, '--server', url, '--state-dir', state];
  const made = await aya(words(first.url, 'bridge', 'create', 'web', '--mtu-bytes', '1450'));
  assert.equal(made.code, 0, made.error);
  assert.equal(await first.stop(), 0, first.log());
  assert.equal(statSync(state).mode & 0o777, 0o700);
  assert.equal(statSync(join(state, 'admin.token')).mode & 0o777, 0o600);

  const second = await startServer(state);
  const listed = await aya(words(second.url, 'bridge', 'list', '--json'));
  assert.equal(await second.stop(), 0);
  assert.deepEqual(
    JSON.parse(listed.out).map((bridge: { name: string }) => bridge.name),
    ['web'],
  );
  for (const line of `${first.log()}${second.log()}`.trim().split('\n')) {
    const { level, process: name } = JSON.parse(line) as { level: string; process: string };
    assert.deepEqual([level, name], ['info', 'server'], line);
  }
  const gone = await aya(words(second.url, 'bridge', 'list'));
  assert.equal(gone.code, 9);
  assert.match(gone.error, /no answer from http:.* connection refused\nIs aya server running there\?/);
});

test('a second server on the same state is refused in one sentence', async () => {
  const state = join(directory, 'shared');
  const first = await startServer(state);
  const second = await aya(['server', '--state-dir', state, '--listen', '127.0.0.1:0']);
  await first.stop();
  assert.equal(second.code, 1);
  assert.match(second.error, /^aya server: .*another process has it open\n$/);
});
