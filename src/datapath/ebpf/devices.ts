// The two devices of the data path in the calling network namespace: the VXLAN device in collect-metadata mode, and
// the veth pair by which the agent's packets and the copies of floods enter. Made when they are not there, left alone
// when they fit.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { interfaceIndex, switchGroOff } from './sys.ts';

/** What the agent writes into; what comes out at the other end runs inject_ingress. */
export interface Devices {
  readonly tunnel: string;
  readonly inject: string;
  readonly injected: string;
}

export const devicesOf = (prefix: string): Devices => ({
  tunnel: `${prefix}-vx`,
  inject: `${prefix}-inj0`,
  injected: `${prefix}-inj1`,
});

/** Super-packets of 64 KiB and their headers; the largest that each kind of device takes. */
const VXLAN_MTU_BYTES = 65485;
const VETH_MTU_BYTES = 65535;

function ip(...words: string[]): string {
  try {
    return execFileSync('ip', words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (cause) {
    const said = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new Error(`ip ${words.join(' ')}: ${said || String(cause)}`, { cause });
  }
}

function vxlanPort(name: string): number | undefined {
  const [link] = JSON.parse(ip('-d', '-j', 'link', 'show', 'dev', name)) as [
    { linkinfo?: { info_kind?: string; info_data?: { port?: number; external?: boolean } } },
  ];
  const info = link.linkinfo;
  return info?.info_kind === 'vxlan' && info.info_data?.external === true ? info.info_data.port : undefined;
}

/** Host traffic of its own (router solicitations) has no place on these devices. */
function switchIp6Off(name: string): void {
  const file = `/proc/sys/net/ipv6/conf/${name}/disable_ipv6`;
  if (fs.existsSync(file)) fs.writeFileSync(file, '1');
}

export function ensureDevices(devices: Devices, tunnelUdpPort: number): void {
  const { tunnel, inject, injected } = devices;
  if (interfaceIndex(tunnel) !== undefined && vxlanPort(tunnel) !== tunnelUdpPort) ip('link', 'delete', tunnel);
  if (interfaceIndex(tunnel) === undefined) {
    ip('link', 'add', tunnel, 'type', 'vxlan', 'external', 'dstport', String(tunnelUdpPort));
    switchIp6Off(tunnel);
    ip('link', 'set', tunnel, 'mtu', String(VXLAN_MTU_BYTES), 'arp', 'off');
  }
  // GRO on the underlay merges already; a second time on this device costs a tenth of the packets.
  switchGroOff(tunnel);
  if (interfaceIndex(inject) === undefined || interfaceIndex(injected) === undefined) {
    if (interfaceIndex(inject) !== undefined) ip('link', 'delete', inject);
    ip('link', 'add', inject, 'type', 'veth', 'peer', 'name', injected);
    for (const end of [inject, injected]) {
      switchIp6Off(end);
      ip('link', 'set', end, 'mtu', String(VETH_MTU_BYTES), 'arp', 'off');
    }
  }
  for (const name of [tunnel, inject, injected]) ip('link', 'set', name, 'up');
}
