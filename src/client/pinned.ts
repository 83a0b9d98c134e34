// HTTPS to a server whose certificate is known by its fingerprint and signed by nobody: the certificate is compared
// before the first byte of a request, so a token never reaches another server.

import { Agent, request } from 'node:https';
import { Readable } from 'node:stream';
import { connect, type TLSSocket } from 'node:tls';
import type { Fetch } from './client.ts';

/** `AB:CD:…` or `abcd…`: SHA-256 of the certificate. */
const normal = (fingerprint: string): string => fingerprint.replaceAll(':', '').toLowerCase();

class WrongCertificate extends Error {
  override readonly name = 'WrongCertificate';
}

/** Also for WebSockets (`ws` takes it as `agent`). */
export function pinnedAgent(fingerprint: string): Agent {
  const agent = new Agent({ keepAlive: true });
  const wanted = normal(fingerprint);
  agent.createConnection = (options, callback) => {
    // The pin replaces the check against authorities; `rejectUnauthorized` would refuse every certificate of our own.
    const socket: TLSSocket = connect({ ...options, rejectUnauthorized: false } as never);
    const done = callback as (error: Error | null, socket?: TLSSocket) => void;
    const failed = (error: Error): void => done(error);
    socket.once('error', failed);
    socket.once('secureConnect', () => {
      socket.off('error', failed);
      const seen = normal(socket.getPeerCertificate().fingerprint256 ?? '');
      if (seen === wanted) return done(null, socket);
      socket.destroy();
      done(new WrongCertificate(`its certificate has the fingerprint ${seen}, expected was ${wanted}`));
    });
    return undefined;
  };
  return agent;
}

export function pinnedFetch(fingerprint: string): Fetch {
  const agent = pinnedAgent(fingerprint);
  return (url, init) =>
    new Promise((resolve, reject) => {
      const { method, headers, body, signal } = init;
      const sent = request(url, { agent, method, headers, ...(signal === undefined ? {} : { signal }) }, (answer) => {
        const status = answer.statusCode ?? 0;
        const fields = Object.entries(answer.headersDistinct).flatMap(([name, values]) =>
          (values ?? []).map((value): [string, string] => [name, value]),
        );
        const empty = status === 204 || status === 304;
        if (empty) answer.resume();
        const stream = empty ? null : (Readable.toWeb(answer) as ReadableStream<Uint8Array>);
        resolve(new Response(stream, { status, headers: fields }));
      });
      sent.on('error', reject);
      sent.end(body);
    });
}
