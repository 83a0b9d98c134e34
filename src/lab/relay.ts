// A program: hands connections on a UNIX socket, which every namespace of the machine sees, to a TCP address in the
// namespace that it runs in.  node relay.ts SOCKET ADDRESS PORT

import { connect, createServer } from 'node:net';

const [path, host, port] = process.argv.slice(2);
const server = createServer((from) => {
  const to = connect({ host: host!, port: Number(port) });
  from.pipe(to).pipe(from);
  from.on('error', () => to.destroy());
  to.on('error', () => from.destroy());
});
server.listen(path, () => console.log('listening'));
