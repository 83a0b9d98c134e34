// The server's own certificate, made at its first start: self-signed, ECDSA P-256, X.509 v3 (RFC 5280). Agents and
// clients do not trust it by a chain but by its fingerprint, which join tokens carry; so it is made once and kept.

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { parseIp, writeIp } from '../../packet/address.ts';
import { bits, integer, octets, oid, sequence, set, TRUE, tagged, time, utf8 } from './der.ts';
import { writePrivateFile } from './private-file.ts';

export interface Identity {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
  /** SHA-256 of the certificate: 64 hexadecimal digits, lower case. */
  readonly fingerprint: string;
}

const OID = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const;

/** Long: nothing but the fingerprint vouches for it, and a change of certificate means joining every host again. */
const VALID_YEARS = 20;
/** Clocks of hosts may be behind. */
const BACKDATED_DAYS = 2;

/** The certificate in `directory` (server.crt, server.key), made for the listen address when there is none. */
export function loadOrMakeIdentity(directory: string, listenHost: string, now: Date): Identity {
  const certificatePath = join(directory, 'server.crt');
  const keyPath = join(directory, 'server.key');
  const certificate = readIfThere(certificatePath);
  const key = readIfThere(keyPath);
  if (certificate !== undefined && key !== undefined) return identityOf(certificate, key);
  const made = makeIdentity(namesFor(listenHost), now);
  writePrivateFile(keyPath, made.key);
  writePrivateFile(certificatePath, made.certificate);
  return made;
}

/** Throws when the two do not belong together. */
export function identityOf(certificate: string, key: string): Identity {
  const parsed = new X509Certificate(certificate);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!parsed.publicKey.export({ type: 'spki', format: 'der' }).equals(publicKey)) {
    throw new Error('the TLS key does not belong to the TLS certificate');
  }
  return { certificate, key, fingerprint: parsed.fingerprint256.replaceAll(':', '').toLowerCase() };
}

/** A self-signed certificate for names and addresses. */
export function makeIdentity(names: readonly string[], now: Date): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const tbs = tbsCertificate(publicKey, names, now);
  const signature = sign('sha256', tbs, privateKey);
  const der = sequence(tbs, sequence(oid(OID.ecdsaWithSha256)), bits(signature));
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return identityOf(pem('CERTIFICATE', der), key);
}

/** RFC 5280 §4.1: what is signed. */
function tbsCertificate(publicKey: KeyObject, names: readonly string[], now: Date): Uint8Array {
  const name = sequence(set(sequence(oid(OID.commonName), utf8('ayatori server'))));
  const from = new Date(now.getTime() - BACKDATED_DAYS * 86_400_000);
  const until = new Date(now);
  until.setUTCFullYear(until.getUTCFullYear() + VALID_YEARS);
  const critical = (id: string, value: Uint8Array) => sequence(oid(id), TRUE, octets(value));
  const extensions = sequence(
    critical(OID.basicConstraints, sequence()),
    // digitalSignature is bit 0, so one bit of the byte is in use and seven are not (§4.2.1.3).
    critical(OID.keyUsage, Uint8Array.of(0x03, 0x02, 0x07, 0x80)),
    sequence(oid(OID.extendedKeyUsage), octets(sequence(oid(OID.serverAuth)))),
    sequence(oid(OID.subjectAltName), octets(sequence(...names.map(generalName)))),
  );
  return sequence(
    tagged(0, true, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    sequence(oid(OID.ecdsaWithSha256)),
    name,
    sequence(time(from), time(until)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, true, extensions),
  );
}

/** Positive, at most 20 bytes (§4.1.2.2). */
function serialNumber(): Uint8Array {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial;
}

/** §4.2.1.6: dNSName [2] or iPAddress [7]. */
function generalName(name: string): Uint8Array {
  const ip = parseIp(name);
  if (ip === undefined) return tagged(2, false, Buffer.from(name, 'ascii'));
  const bytes = new Uint8Array(typeof ip === 'number' ? 4 : 16);
  writeIp(bytes, 0, ip);
  return tagged(7, false, bytes);
}

/** What a server that listens there is called: for a wildcard every address that the machine has now. */
function namesFor(listenHost: string): readonly string[] {
  const addresses = isWildcard(listenHost) ? machineAddresses() : [listenHost];
  const host = hostname();
  return [...new Set([...addresses, ...(/^[\w.-]+$/.test(host) ? [host] : []), 'localhost', '127.0.0.1', '::1'])];
}

export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';

/** Addresses of the machine that others can reach; link-local ones need a scope and are left out. */
export function machineAddresses(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return all
    .filter(({ address, internal }) => !internal && isIP(address) !== 0 && !address.startsWith('fe80'))
    .map(({ address }) => address);
}

function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
