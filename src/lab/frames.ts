// Sends frames as they are, for what no well-behaved program would send. Through perl, which every Debian has: Node
// knows no packet sockets.

import type { Namespace } from './namespace.ts';

/** packet(7): AF_PACKET 17, SOCK_RAW 3, sockaddr_ll; netdevice(7): SIOCGIFINDEX 0x8933. */
const SENDER = `
my ($name) = @ARGV;
socket(my $socket, 17, 3, 0) or die "socket: $!\\n";
my $request = pack('a16 x24', $name);
ioctl($socket, 0x8933, $request) or die "$name: $!\\n";
my $to = pack('S n i S C C a8', 17, 3, unpack('x16 i', $request), 0, 0, 6, '');
my $sent = 0;
while (my $line = <STDIN>) {
  chomp $line;
  $sent++ if defined send($socket, pack('H*', $line), 0, $to);
}
print $sent;
`;

/** Each frame is hex, spaces allowed, from the destination MAC on. Gives how many the interface took. */
export async function sendFrames(from: Namespace, interfaceName: string, frames: readonly string[]): Promise<number> {
  const input = frames.map((frame) => `${frame.replaceAll(/\s/g, '')}\n`).join('');
  const { stdout } = await from.run(['perl', '-e', SENDER, interfaceName], { input });
  return Number(stdout);
}
