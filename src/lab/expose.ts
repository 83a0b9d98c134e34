// Makes a TCP service of a namespace reachable from this process and from the machine's loopback.
//
//   127.0.0.1:port (this process) ── UNIX socket ── relay.ts (in the namespace) ── address:port

import { connect, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Namespace } from './namespace.ts';

export class PortTaken extends Error {
  override readonly name = 'PortTaken';
}

export interface Target {
  readonly address: string;
  readonly port: number;
}

/** A way from the machine's loopback into a namespace. */
export interface Exposed {
  readonly port: number;
  close(): Promise<void>;
}

/** `port` 0 takes any free one. Throws PortTaken. */
export async function expose(namespace: Namespace, target: Target, port: number): Promise<Exposed> {
  const path = namespace.file('relay.sock');
  const program = fileURLToPath(new URL('./relay.ts', import.meta.url));
  const relay = await namespace.spawn('relay', [process.execPath, program, path, target.address, `${target.port}`]);
  await relay.says(/listening/);
  const open = new Set<Socket>();
  const server = createServer((from) => {
    const to = connect(path);
    open.add(from);
    from.on('close', () => open.delete(from));
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  await listen(server, port);
  const address = server.address();
  return {
    port: typeof address === 'object' && address ? address.port : port,
    close: async () => {
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      for (const socket of open) socket.destroy();
      await closed;
      await relay.kill();
    },
  };
}

/** Whether nobody listens on that port of the machine's loopback. Throws PortTaken otherwise. */
export async function checkPort(port: number): Promise<void> {
  const server = createServer();
  await listen(server, port);
  await new Promise((resolve) => server.close(resolve));
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const taken = error.code === 'EADDRINUSE';
      reject(taken ? new PortTaken(`TCP port ${port} of 127.0.0.1 is taken: stop what listens there.`) : error);
    });
    server.listen(port, '127.0.0.1', resolve);
  });
}
