// The lab itself: namespaces, wires, programs, and that nothing is left behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Capture } from '../../src/lab/capture.ts';
import { attempt, run } from '../../src/lab/command.ts';
import { checkPort, PortTaken } from '../../src/lab/expose.ts';
import { sendFrames } from '../../src/lab/frames.ts';
import { iperf } from '../../src/lab/iperf.ts';
import { type Host, Lab, UNDERLAY_INTERFACE, type Vm } from '../../src/lab/lab.ts';
import { cleanupStale, NameTaken, namespaceNames } from '../../src/lab/ledger.ts';
import { median, ping } from '../../src/lab/ping.ts';
import { end, identityOf, isAlive } from '../../src/lab/process.ts';
import { traceroute } from '../../src/lab/traceroute.ts';
import { waitFor } from '../../src/lab/wait.ts';
import { labName, needsRoot } from './root.ts';

/** Labs of these tests are apart from all others, and a test run that was killed is cleaned up by the next. */
const ROOTS = '/run/ayatori/lab-test';
function freshRoot(): string {
  mkdirSync(ROOTS, { recursive: true, mode: 0o700 });
  return mkdtempSync(join(ROOTS, `${process.pid}-`));
}
const mounts = () => readFileSync('/proc/self/mountinfo', 'utf8');

before(async () => {
  for (const old of existsSync(ROOTS) ? readdirSync(ROOTS) : []) {
    if (identityOf(Number.parseInt(old, 10))) continue;
    await cleanupStale(join(ROOTS, old));
    rmSync(join(ROOTS, old), { recursive: true });
  }
});

describe('lab', { skip: needsRoot() }, () => {
  const root = freshRoot();
  const name = labName();
  let lab: Lab;
  let hosts: [Host, Host];
  let vm: Vm;

  before(async () => {
    lab = await Lab.create(name, { root });
    hosts = [await lab.host('left'), await lab.host('right')];
    vm = await lab.vm('guest', hosts[0]);
  });
  after(async () => {
    await lab.destroy();
    rmSync(root, { recursive: true, force: true });
  });

  test('hosts reach each other over the underlay by IPv4 and IPv6, through one router', async () => {
    for (const address of [hosts[1].address, hosts[1].address6]) {
      const result = await ping(hosts[0].namespace, address, { count: 5, intervalMs: 10 });
      assert.equal(result.received, 5, address);
      assert.ok(median(result.timesMs) > 0);
    }
    const hops = await traceroute(hosts[0].namespace, hosts[1].address);
    assert.deepEqual(hops, [{ address: '172.31.1.1' }, { address: hosts[1].address }]);
  });

  test('the underlay carries 1610 bytes and no more', async () => {
    const fits = await ping(hosts[0].namespace, hosts[1].address, { payloadBytes: 1582, dontFragment: true });
    assert.equal(fits.received, 3);
    const tooLong = await ping(hosts[0].namespace, hosts[1].address, { payloadBytes: 1583, dontFragment: true });
    assert.equal(tooLong.received, 0);
    assert.ok(tooLong.errors.length > 0);
  });

  test('a VM is wired to its host with the MAC that it was given and offloads on', async () => {
    assert.equal(vm.mac, '02:00:00:00:00:01');
    const [link] = await vm.namespace.ipJson<{ address: string; operstate: string; gso_max_size: number }[]>(
      '-d',
      'link',
      'show',
      'eth0',
    );
    assert.equal(link?.address, vm.mac);
    assert.equal(link?.operstate, 'UP');
    assert.ok(link.gso_max_size >= 65536);
    await lab.unplug(vm);
    const gone = await hosts[0].namespace.attempt(['ip', 'link', 'show', vm.interfaceName]);
    assert.notEqual(gone.code, 0);
    await lab.plug(vm, hosts[1]);
    await hosts[1].namespace.run(['ip', 'link', 'show', vm.interfaceName]);
  });

  test('iperf3 measures TCP and UDP between hosts', async () => {
    const tcp = await iperf(hosts[0].namespace, hosts[1].namespace, hosts[1].address, { seconds: 1 });
    assert.ok(tcp.bitsPerSecond > 1e6);
    const udp = await iperf(hosts[0].namespace, hosts[1].namespace, hosts[1].address6, {
      seconds: 1,
      udpBitsPerSecond: 5e6,
    });
    assert.ok(udp.packets > 100);
    assert.equal(udp.lostPackets, 0);
  });

  test('a capture holds what crossed the interface, frames of no program included', async () => {
    const capture = await Capture.start(hosts[1].namespace, UNDERLAY_INTERFACE, 'icmp or ether proto 0x88b5');
    await ping(hosts[0].namespace, hosts[1].address, { count: 2, intervalMs: 10 });
    const sent = await sendFrames(hosts[1].namespace, UNDERLAY_INTERFACE, [
      `ffffffffffff 020000000099 88b5 ${'ab'.repeat(46)}`,
    ]);
    assert.equal(sent, 1);
    await waitFor(async () => (await capture.lines()).length === 5, { what: 'five captured packets' });
    const lines = await capture.stop();
    assert.equal(lines.filter((line) => line.includes('ICMP echo request')).length, 2);
    assert.equal(lines.filter((line) => line.includes('02:00:00:00:00:99')).length, 1);
  });

  test('each host has a bpffs that programs in its namespace and outside see', async () => {
    for (const host of hosts) {
      const { stdout } = await host.namespace.run(['stat', '-f', '-c', '%T', join(host.directory, 'bpf')]);
      assert.equal(stdout.trim(), 'bpf_fs');
      const outside = await run(['stat', '-f', '-c', '%T', join(host.directory, 'bpf')]);
      assert.equal(outside.stdout.trim(), 'bpf_fs');
    }
  });

  test('a service in a namespace is reached through the loopback of the machine', async () => {
    const program = `require('node:http').createServer((q, r) => r.end('inside')).listen(80, '${hosts[0].address}', () => console.log('up'))`;
    const server = await hosts[0].namespace.spawn('web', [process.execPath, '-e', program]);
    await server.says(/up/);
    const exposed = await lab.expose(hosts[0].namespace, { address: hosts[0].address, port: 80 });
    const answer = await fetch(`http://127.0.0.1:${exposed.port}/`);
    assert.equal(await answer.text(), 'inside');
    await assert.rejects(checkPort(exposed.port), PortTaken);
    await exposed.close();
    await server.stop();
  });

  test('a program that ends before it says what was awaited is an error that shows its output', async () => {
    const process = await vm.namespace.spawn('failing', ['sh', '-c', 'echo no luck; exit 3']);
    await assert.rejects(process.says(/ready/), /ended before.*\n.*no luck/s);
    assert.deepEqual(await process.exited, { code: 3, signal: null });
  });

  test('a setting outside of a network namespace is refused', async () => {
    await assert.rejects(vm.namespace.sysctl('kernel/hostname', 'x'), /not a setting of one network namespace/);
  });

  test('the name of a living lab is refused', async () => {
    await assert.rejects(Lab.create(name, { root }), NameTaken);
    await cleanupStale(root);
    assert.ok(existsSync(lab.directory), 'a living lab is not cleaned up');
  });

  test('a namespace of that name that is not of the lab is refused and left alone', async () => {
    await run(['ip', 'netns', 'add', `${name}-foreign`]);
    try {
      await assert.rejects(lab.namespace('foreign'), /exists already and was not made by this lab/);
      assert.ok(namespaceNames().includes(`${name}-foreign`));
    } finally {
      await run(['ip', 'netns', 'delete', `${name}-foreign`]);
    }
  });
});

describe('end of a lab', { skip: needsRoot() }, () => {
  const root = freshRoot();
  after(() => rmSync(root, { recursive: true, force: true }));
  const left = (name: string) => namespaceNames().filter((each) => each.startsWith(`${name}-`));

  test('destroy leaves no program, namespace, mount or file, and may be called again', async () => {
    const name = labName();
    const lab = await Lab.create(name, { root });
    const host = await lab.host('only');
    const vm = await lab.vm('guest', host);
    const stubborn = await vm.namespace.spawn('stubborn', ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done']);
    const daemon = await vm.namespace.run(['sh', '-c', 'sleep 1000 >/dev/null 2>&1 & echo $!']);
    const daemonIdentity = identityOf(Number(daemon.stdout))!;
    assert.ok(isAlive(daemonIdentity));
    await lab.destroy();
    assert.ok(!isAlive(stubborn.identity));
    assert.ok(!isAlive(daemonIdentity), 'a daemon that a program left behind is ended, too');
    assert.deepEqual(left(name), []);
    assert.ok(!mounts().includes(lab.directory));
    assert.ok(!existsSync(root), 'an empty root goes, too');
    await lab.destroy();
    await assert.rejects(vm.namespace.run(['true']), /being taken down/);
  });

  test('a lab whose owner was killed is cleaned up by the next one', async () => {
    const name = labName();
    const source = new URL('../../src/lab/lab.ts', import.meta.url).href;
    const program = `
      import { Lab } from '${source}';
      const lab = await Lab.create('${name}', { root: '${root}' });
      const host = await lab.host('only');
      const vm = await lab.vm('guest', host);
      const sleeper = await vm.namespace.spawn('sleeper', ['sleep', '1000']);
      console.log(sleeper.pid);
      setInterval(() => {}, 1000);`;
    mkdirSync(root, { recursive: true });
    const path = join(root, 'owner.mjs');
    writeFileSync(path, program);
    const owner = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pid = await new Promise<number>((resolve, reject) => {
      owner.stdout.once('data', (data) => resolve(Number(data)));
      owner.once('exit', () => reject(new Error('the owner ended by itself')));
    });
    const sleeper = identityOf(pid)!;
    const dead = new Promise((resolve) => owner.once('exit', resolve));
    owner.kill('SIGKILL');
    await dead;
    rmSync(path);
    assert.ok(isAlive(sleeper), 'the program outlived its owner');
    assert.equal(left(name).length, 3);
    assert.deepEqual(await cleanupStale(root), [name]);
    assert.ok(!isAlive(sleeper));
    assert.deepEqual(left(name), []);
    assert.ok(!mounts().includes(root));
    assert.deepEqual(readdirSync(root), []);
  });

  test('a process that only has the pid of one of ours is not ended', async () => {
    const other = spawn('sleep', ['1000']);
    try {
      const { pid, startTicks } = identityOf(other.pid!)!;
      await end([{ pid, startTicks: `${Number(startTicks) - 1}` }], 0);
      assert.ok(isAlive({ pid, startTicks }));
    } finally {
      other.kill('SIGKILL');
    }
  });

  test("the machine's own namespace sees no link, address, route or setting of a lab", async () => {
    const state = async () => {
      const outputs = [];
      for (const argv of [
        ['ip', '-o', 'link'],
        ['ip', '-o', '-4', 'addr'],
        ['ip', 'route', 'show', 'table', 'all'],
        ['sh', '-c', 'grep -rs . /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding'],
      ]) {
        outputs.push((await attempt(argv)).stdout);
      }
      return outputs;
    };
    const before = await state();
    const lab = await Lab.create(labName(), { root });
    try {
      await lab.vm('guest', await lab.host('only'));
      assert.deepEqual(await state(), before);
    } finally {
      await lab.destroy();
    }
    assert.deepEqual(await state(), before);
  });
});
