import assert from 'node:assert/strict';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { Client } from './client.ts';

// A certificate made for this test alone (CN=test, P-256), its key, and its SHA-256 fingerprint.
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUdy9T+TWk8BoRz68WnUfgHZA9klwwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjAxMTAyMzNaGA8yMTI2MTAyNzExMDIz
M1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABLvA
hh0Cmn02a1faZUDpWopdYrXPX0LlKDfxbQRAMgjwMG6Nqaf3V24KC7cg/ULW81Kc
dl6vy7acuhDMnmpwbt+jUzBRMB0GA1UdDgQWBBSNnoe/XLbJGB0prNvfhyoGKMff
djAfBgNVHSMEGDAWgBSNnoe/XLbJGB0prNvfhyoGKMffdjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQD2asnAtD6O5pT5C8o0RYuKm9LujFzYAU2q
WLrsJac2pAIgTNwbCmjheHMaqIwI/K9avBbkrUI2JZF7PECgA1eCJh8=
-----END CERTIFICATE-----`;
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQga5VEJFBi+G32FKGR
LEi8BX0aueOzwxtInNBOq7BuiHShRANCAAS7wIYdApp9NmtX2mVA6VqKXWK1z19C
5Sg38W0EQDII8DBujamn91duCgu3IP1C1vNSnHZer8u2nLoQzJ5qcG7f
-----END PRIVATE KEY-----`;
const FINGERPRINT = '0F:BA:02:FC:95:60:3E:D2:3B:E2:D9:0A:C2:38:E0:FF:72:4D:C5:A1:6A:FF:6E:72:B8:D4:77:2F:E3:83:66:16';

let authorizations: (string | undefined)[] = [];
const server = createServer({ cert: CERTIFICATE, key: KEY }, (request, answer) => {
  authorizations.push(request.headers.authorization);
  if (request.method === 'DELETE') {
    answer.writeHead(204, { 'Ayatori-Revision': '9' }).end();
    return;
  }
  answer.writeHead(200, { 'content-type': 'application/json' });
  answer.end('{"name":"aya","version":"1","revision":3}');
});
let url = '';
before(async () => {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

test('a server with the pinned certificate is spoken to, however the fingerprint is written', async () => {
  authorizations = [];
  const written = [FINGERPRINT, FINGERPRINT.replaceAll(':', '').toLowerCase()];
  for (const fingerprint of written) {
    const client = new Client({ url, token: 'secret', fingerprint });
    assert.equal((await client.version()).revision, 3);
    assert.equal(await client.remove('port', 'p'), 9);
  }
  assert.deepEqual(authorizations, new Array(4).fill('Bearer secret'));
});

test('a server with another certificate never sees the token', async () => {
  authorizations = [];
  const client = new Client({ url, token: 'secret', fingerprint: `00${FINGERPRINT.slice(2)}` });
  await assert.rejects(client.version(), { status: 0, code: 'unreachable', message: /expected was 00/ });
  assert.deepEqual(authorizations, []);
});

test('without a fingerprint a certificate that nobody signed is refused', async () => {
  authorizations = [];
  await assert.rejects(new Client({ url, token: 'secret' }).version(), { status: 0, code: 'unreachable' });
  assert.deepEqual(authorizations, []);
});
