// What must be so before the first namespace is made: one clear sentence when it is not.

import { mkdtempSync, rmdirSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { attempt } from '../lab/command.ts';
import { checkPort } from '../lab/expose.ts';
import { checkNames } from '../lab/lab.ts';

/** The demo cannot start; the message says why and what to do. */
export class CannotStart extends Error {
  override readonly name = 'CannotStart';
}

const KERNEL_NEEDED = [6, 1] as const;

/** Program -> Debian package (packages.txt of lab). */
const PROGRAMS = {
  ip: 'iproute2',
  nsenter: 'util-linux',
  mount: 'mount',
  ping: 'iputils-ping',
  traceroute: 'traceroute',
  iperf3: 'iperf3',
  dhclient: 'isc-dhcp-client',
} as const;

export function checkUser(userId: number): void {
  if (userId !== 0)
    throw new CannotStart('The demo makes network namespaces and loads eBPF: run it as root or with sudo.');
}

/** `text` as uname -r gives it. */
export function checkKernel(text: string): void {
  const [major = 0, minor = 0] = text.split(/[^0-9]+/).map(Number);
  const [needMajor, needMinor] = KERNEL_NEEDED;
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return;
  throw new CannotStart(`This kernel is Linux ${text}: Ayatori needs Linux ${needMajor}.${needMinor} or newer.`);
}

async function checkPrograms(): Promise<void> {
  const { stdout } = await attempt([
    'sh',
    '-c',
    'for p; do command -v "$p" >/dev/null || echo "$p"; done',
    'sh',
    ...Object.keys(PROGRAMS),
  ]);
  const missing = stdout.split('\n').filter((line) => line !== '') as (keyof typeof PROGRAMS)[];
  if (missing.length === 0) return;
  const packages = missing.map((program) => PROGRAMS[program]);
  throw new CannotStart(
    `These programs are missing: ${missing.join(', ')}; install the Debian packages ${packages.join(' ')}.`,
  );
}

async function checkBpffs(): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'ayatori-bpf-'));
  try {
    const mounted = await attempt(['mount', '-t', 'bpf', 'bpf', directory]);
    if (mounted.code !== 0) {
      throw new CannotStart(
        `A BPF file system cannot be mounted here (${mounted.stderr.trim()}): eBPF is not available.`,
      );
    }
    await attempt(['umount', directory]);
  } finally {
    rmdirSync(directory);
  }
}

async function checkNamespaces(): Promise<void> {
  const made = await attempt(['unshare', '--net', 'true']);
  if (made.code !== 0) {
    throw new CannotStart(
      `Network namespaces cannot be made here (${made.stderr.trim()}): in a container, run it privileged.`,
    );
  }
}

/** Everything that can be looked at without making anything that stays. */
export async function checkMachine(lab: string, port: number): Promise<void> {
  checkUser(process.getuid?.() ?? 0);
  checkKernel(release());
  await checkPrograms();
  await checkNamespaces();
  await checkBpffs();
  checkNames(lab);
  await checkPort(port);
}
