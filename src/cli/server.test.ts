// The command line against a real server on a loopback port, with the store of the tests.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type RunningServer, startServer } from '../api/server.ts';
import { encode, statusKey } from '../api/state/keys.ts';
import { Client } from '../client/client.ts';
import { memoryLog } from '../lib/log.ts';
import { MemoryStore } from '../store/memory.ts';
import type { Status } from '../topology/status.ts';
import { runCli } from './cli.ts';
import type { Ran } from './testing/fake-server.ts';

const directory = mkdtempSync(join(tmpdir(), 'aya-cli-'));
const store = new MemoryStore();
const log = memoryLog();
let server: RunningServer;

before(async () => {
  server = await startServer({ store, stateDirectory: directory, listen: { host: '127.0.0.1', port: 0 }, log });
});
after(async () => {
  await server.close();
  await store.close();
  rmSync(directory, { recursive: true });
  const troubles = log.lines.filter((line) => line.level === 'warn' || line.level === 'error');
  assert.deepEqual(troubles, [], 'the server had nothing to complain about');
});

async function aya(words: string, options: { signal?: AbortSignal; onOut?: () => void } = {}): Promise<Ran> {
  let out = '';
  let error = '';
  // Words are divided by spaces, but not inside quotation marks.
  const argv = (words.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replaceAll("'", ''));
  const token = readFileSync(join(directory, 'admin.token'), 'utf8').trim();
  const code = await runCli(argv, {
    out: (text) => {
      out += text;
      options.onOut?.();
    },
    error: (text) => {
      error += text;
    },
    client: () => new Client({ url: server.url, token }),
    nowMs: () => Date.now(),
    version: '0.0.0',
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, out, error };
}

async function done(words: string): Promise<string> {
  const { code, out, error } = await aya(words);
  assert.equal(code, 0, `aya ${words}: ${error}`);
  return out;
}

test('a tenant is built, explained and taken down by words alone', async () => {
  for (const words of [
    'project create red --quotas bridge=3',
    'bridge create web --project red --mtu-bytes 1450',
    'router create edge --project red',
    'port create vm1 --device web --mac 02:00:00:00:00:01 --addresses 10.0.1.11/24 --anti-spoofing',
    'port create web-up --device web',
    'port create edge-web --device edge --mac 02:00:00:00:01:01 --addresses 10.0.1.1/24',
    'port peer web-up edge-web',
    'chain create guard',
    'rule create --chain guard --drop --protocol tcp --destination-ports 80-90',
    'rule create --chain guard --accept --position 100',
    'router set edge --inbound-chain guard',
    'address-set create friends --addresses 10.0.0.0/8,2001:db8::/32',
    'port-group create uplinks',
    'port set web-up --add-port-groups uplinks',
    'dhcp create lan --bridge web --prefix 10.0.1.0/24 --gateway 10.0.1.1 --routes 10.2.0.0/16=10.0.1.1',
    'dhcp-host create --subnet lan --mac 02:00:00:00:00:02 --address 10.0.1.12',
    'route create --router edge --destination 198.51.100.0/24 --blackhole',
    'host add h1',
    'zone create underlay --members h1=192.0.2.1',
    'port bind vm1 h1:tap0',
  ]) {
    await done(words);
  }
  assert.match(await done('port list --device web'), /vm1 .* h1:tap0 .*\n.*web-up .* peer edge-web .*up/);
  assert.match(
    await done('rule list --chain guard'),
    /protocol tcp, destination-ports 80-90 +drop[^\n]*\n.* anything +accept/,
  );
  const packet = 'eth(02:00:00:00:00:01, 02:00:00:00:01:01) ip(10.0.1.11, 198.51.100.1) tcp(40000, PORT, syn)';
  const trace = async (port: number) => done(`trace --port vm1 '${packet.replace('PORT', String(port))}'`);
  // Once: the last step of the walk says the same.
  assert.equal((await trace(80)).match(/^drop: /gm)?.length, 1);
  assert.match(await trace(80), /guard/);
  assert.match(await trace(443), /blackhole/);
  assert.match(await done('status'), /revision \d+\n[\s\S]*h1 [\s\S]*3 ports/);

  const inUse = await aya('bridge delete web');
  assert.equal(inUse.code, 5);
  assert.match(inUse.error, /vm1/);
  await done('port unbind vm1');
  await done('port unpeer web-up');
  await done('port delete vm1 web-up edge-web');
  await done('bridge delete web');
  assert.match(await done('dhcp list'), /^no dhcp-subnets\n/);
});

test('a refusal of the server names the flag and ends with the code of its status', async () => {
  const malformed = await aya('address-set create s --addresses 10.0.0.1/8');
  assert.equal(malformed.code, 2);
  assert.match(malformed.error, /\(--addresses\)\n$/);
  const dangling = await aya('port create p --device 00000000-0000-4000-8000-000000000000');
  assert.ok([5, 7].includes(dangling.code), dangling.error);
  assert.match(dangling.error, /\(--device\)\n$/);
  const missing = await aya('port show 00000000-0000-4000-8000-000000000000');
  assert.equal(missing.code, 4);
});

test('a list goes on past a page of the server', async () => {
  const client = new Client({ url: server.url, token: readFileSync(join(directory, 'admin.token'), 'utf8').trim() });
  for (let at = 0; at < 5; at++) await client.create('chain', { name: `c${at}`, tags: ['paged'] });
  const names: string[] = [];
  for await (const chain of client.list('chain', { tag: 'paged', limit: 2 })) names.push(chain.name);
  assert.deepEqual(names.sort(), ['c0', 'c1', 'c2', 'c3', 'c4']);
});

test('--wait comes back when no host needs the change', async () => {
  assert.match(await done('chain create waited --wait=5'), /\(revision \d+\)\nno host needs it\n$/);
});

test('a watch shows a change when it happens and ends when it is told to', async () => {
  const stop = new AbortController();
  const revision = JSON.parse(await done('chain create before --json')).revision as number;
  await done('chain create seen');
  const { code, out } = await aya(`watch --from ${revision}`, { signal: stop.signal, onOut: () => stop.abort() });
  assert.equal(code, 0);
  assert.match(out, new RegExp(`^${revision + 1}  set      chain  seen  `));
});

test('a watch of status shows what a host says when it says it, and ends when it is told to', async () => {
  const port = JSON.parse(
    await done(`port create talker --device ${JSON.parse(await done('bridge create hall --json')).id} --json`),
  );
  const host = JSON.parse(await done('host create speaker --json'));
  const { statusRevision } = JSON.parse(await done('status --json'));
  const said: Status = { kind: 'port', id: port.id, state: 'claimed' };
  const { rev } = await store.txn([], [{ put: statusKey(host.id, 'port', port.id), value: encode(said) }]);
  const stop = new AbortController();
  const words = `status --watch --from ${statusRevision} --host speaker`;
  const { code, out } = await aya(words, { signal: stop.signal, onOut: () => stop.abort() });
  assert.equal(code, 0);
  assert.equal(out, `${rev}  set      speaker  port  talker  claimed\n`);
  assert.equal((await aya('status --watch --kind color')).code, 2);
});

test('a wrong token is refused with what to do', async () => {
  let error = '';
  const code = await runCli(['bridge', 'list'], {
    out: () => {},
    error: (text) => {
      error += text;
    },
    client: () => new Client({ url: server.url, token: 'wrong' }),
    nowMs: () => 0,
    version: '0.0.0',
    signal: new AbortController().signal,
  });
  assert.equal(code, 3);
  assert.match(error, /AYATORI_TOKEN/);
});
