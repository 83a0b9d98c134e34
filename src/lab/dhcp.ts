// The ISC DHCP client in a VM, for IPv4 and IPv6. It is given a script of our own: the system's would write the
// machine's /etc/resolv.conf. What the server said is kept beside, so that a test can look at every option.

import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Namespace } from './namespace.ts';

/** Follows dhclient-script(8); 121 is the classless static routes option of RFC 3442. */
const SCRIPT = `#!/bin/sh
routes() {
  set -- $new_rfc3442_classless_static_routes
  while [ $# -ge 5 ]; do
    bits=$1; shift
    octets=$(( (bits + 7) / 8 )); network=
    for at in 1 2 3 4; do
      if [ $at -le $octets ]; then network=$network.$1; shift; else network=$network.0; fi
    done
    gateway=$1.$2.$3.$4; shift 4
    if [ "$gateway" = 0.0.0.0 ]; then ip route replace "\${network#.}/$bits" dev "$interface" scope link
    else ip route replace "\${network#.}/$bits" via "$gateway" dev "$interface" onlink; fi
  done
}
env | grep '^new_' | sort > "$lease_record"
case "$reason" in
  PREINIT) ip link set "$interface" up ;;
  PREINIT6)
    ip link set "$interface" up
    tries=0
    while [ $tries -lt 100 ] && [ -n "$(ip -6 addr show dev "$interface" scope link tentative)" ]; do
      sleep 0.05; tries=$((tries + 1))
    done ;;
  BOUND|RENEW|REBIND|REBOOT)
    ip -4 addr flush dev "$interface" scope global
    ip addr replace "$new_ip_address/$new_subnet_mask" broadcast + dev "$interface"
    [ -z "$new_interface_mtu" ] || ip link set "$interface" mtu "$new_interface_mtu"
    if [ -n "$new_rfc3442_classless_static_routes" ]; then routes
    elif [ -n "$new_routers" ]; then ip route replace default via "\${new_routers%% *}" dev "$interface"; fi ;;
  BOUND6|RENEW6|REBIND6)
    [ -z "$new_ip6_address" ] || ip -6 addr replace "$new_ip6_address/128" dev "$interface" ;;
  EXPIRE|FAIL|RELEASE|STOP) ip -4 addr flush dev "$interface" scope global ;;
  RELEASE6|STOP6|EXPIRE6) [ -z "$old_ip6_address" ] || ip -6 addr del "$old_ip6_address/128" dev "$interface" ;;
esac
exit 0
`;

const CONFIGURATION = `option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name,
  interface-mtu, rfc3442-classless-static-routes, ntp-servers,
  dhcp6.name-servers, dhcp6.domain-search;
timeout 10;
retry 1;
initial-interval 1;
backoff-cutoff 2;
`;

/** dhclient's words without their \`new_\`: ip_address, subnet_mask, routers, interface_mtu, ip6_address … */
export type Lease = Readonly<Record<string, string>>;

/** Asks once and configures the interface. Throws when nobody answers within about 10 s. */
export async function dhclient(vm: Namespace, interfaceName: string, family: 4 | 6): Promise<Lease> {
  const file = (name: string) => vm.file(`dhcp${family}.${name}`);
  const [script, configuration, leases, pid, record] = ['sh', 'conf', 'leases', 'pid', 'lease'].map(file) as [
    string,
    string,
    string,
    string,
    string,
  ];
  writeFileSync(script, SCRIPT);
  chmodSync(script, 0o700);
  writeFileSync(configuration, CONFIGURATION);
  rmSync(record, { force: true });
  const files = ['-sf', script, '-cf', configuration, '-lf', leases, '-pf', pid, '-e', `lease_record=${record}`];
  const output = await vm.attempt(['dhclient', `-${family}`, '-1', '-v', ...files, interfaceName], {
    deadlineMs: 30_000,
  });
  if (output.code !== 0) {
    const said = output.stderr.trim().split('\n').slice(-3).join('; ');
    throw new Error(`${vm.name} got no DHCPv${family} lease: ${said}`);
  }
  return parseLease(readFileSync(record, 'utf8'));
}

/** Gives the address back and ends the client that `dhclient` left in the background. */
export async function releaseLease(vm: Namespace, interfaceName: string, family: 4 | 6): Promise<void> {
  const file = (name: string) => vm.file(`dhcp${family}.${name}`);
  const files = ['-sf', file('sh'), '-cf', file('conf'), '-lf', file('leases'), '-pf', file('pid')];
  const record = `lease_record=${file('lease')}`;
  await vm.run(['dhclient', `-${family}`, '-r', ...files, '-e', record, interfaceName], { deadlineMs: 15_000 });
}

function parseLease(text: string): Lease {
  const entries = text.split('\n').map((line) => /^new_(\w+)=(.*)$/.exec(line));
  return Object.fromEntries(entries.filter((entry) => entry !== null).map((entry) => [entry[1], entry[2]]));
}
