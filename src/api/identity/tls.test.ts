import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { integer, oid, sequence } from './der.ts';
import { identityOf, loadOrMakeIdentity, makeIdentity } from './tls.ts';

const NOW = new Date('2026-11-20T12:00:00Z');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('DER elements are encoded as X.690 says', () => {
  assert.equal(hex(oid('1.2.840.10045.4.3.2')), '06082a8648ce3d040302');
  assert.equal(hex(integer(Uint8Array.of(0, 0, 0x80))), '02020080');
  assert.equal(hex(integer(Uint8Array.of(0))), '020100');
  assert.equal(hex(sequence(new Uint8Array(300))).slice(0, 8), '3082012c');
  assert.equal(hex(sequence(new Uint8Array(0x80))).slice(0, 6), '308180');
});

test('the certificate is one that others read, valid for the names it was made for', () => {
  const { certificate, fingerprint } = makeIdentity(['10.0.0.1', 'fd00::1', 'server.example'], NOW);
  const read = new X509Certificate(certificate);
  assert.equal(read.checkIP('10.0.0.1'), '10.0.0.1');
  assert.equal(read.checkIP('fd00::1'), 'fd00::1');
  assert.equal(read.checkHost('server.example'), 'server.example');
  assert.equal(read.checkIP('10.0.0.2'), undefined);
  assert.equal(read.checkHost('other.example'), undefined);
  assert.equal(read.verify(read.publicKey), true);
  assert.equal(read.ca, false);
  assert.deepEqual(read.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  assert.equal(read.validFromDate.toISOString(), '2026-11-18T12:00:00.000Z');
  assert.equal(read.validToDate.toISOString(), '2046-11-20T12:00:00.000Z');
  assert.equal(fingerprint, createHash('sha256').update(read.raw).digest('hex'));
});

test('the certificate is made once and kept for its owner only', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ayatori-tls-'));
  try {
    const first = loadOrMakeIdentity(directory, '0.0.0.0', NOW);
    assert.deepEqual(loadOrMakeIdentity(directory, '10.9.9.9', NOW), first);
    assert.equal(statSync(join(directory, 'server.key')).mode & 0o777, 0o600);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('a key that does not belong to the certificate is refused', () => {
  const one = makeIdentity(['localhost'], NOW);
  const other = makeIdentity(['localhost'], NOW);
  assert.throws(() => identityOf(one.certificate, other.key), /does not belong/);
});
