import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp6, parseMac } from './address.ts';
import { emitNd, formatNd, linkAddressOf, type NdMessage, parseNd } from './nd.ts';
import { readHex } from './word/arguments.ts';

const RS = '85007b1a00000000010102000000000a';
const DAD = '87009ea100000000fe80000000000000000000fffe00000a0e019b19bfd4757a';
const NA = '88001c9160000000fd000000000000000000000000000002020102000000000b';
const [b, mac] = [parseIp6('fd00::2')!, parseMac('02:00:00:00:00:0b')!];

function parsed(hex: string): NdMessage {
  const bytes = readHex(hex)!;
  const message = parseNd(bytes, 0, bytes.length);
  assert.ok(message);
  return message;
}

test('a captured router solicitation carries the MAC of its sender', () => {
  const message = parsed(RS);
  assert.equal(formatNd(message), 'nd router-solicitation source-mac 02:00:00:00:00:0a');
  assert.deepEqual(emitNd(message, parseIp6('fe80::ff:fe00:a')!, parseIp6('ff02::2')!), readHex(RS));
});

test('a captured duplicate address detection has no MAC but a nonce', () => {
  const message = parsed(DAD);
  assert.equal(formatNd(message), 'nd neighbour-solicitation who-has fe80::ff:fe00:a option 14');
  assert.equal(linkAddressOf(message), undefined);
  assert.deepEqual(emitNd(message, parseIp6('::')!, parseIp6('ff02::1:ff00:a')!), readHex(DAD));
});

test('a captured neighbour advertisement is solicited and overrides', () => {
  const message = parsed(NA);
  assert.deepEqual(message, {
    kind: 'neighbourAdvertisement',
    router: false,
    solicited: true,
    override: true,
    target: b,
    options: [{ kind: 'targetLinkAddress', mac }],
  });
  assert.equal(linkAddressOf(message), mac);
  assert.deepEqual(emitNd(message, b, parseIp6('fd00::1')!), readHex(NA));
});

test('a router advertisement lays out its options as the RFCs draw them', () => {
  const message: NdMessage = {
    kind: 'routerAdvertisement',
    hopLimit: 64,
    managed: true,
    other: false,
    lifetimeSeconds: 1800,
    reachableMs: 1,
    retransmitMs: 2,
    options: [
      { kind: 'mtu', mtuBytes: 1400 },
      {
        kind: 'prefix',
        prefix: parseIp6('fd00::')!,
        bits: 64,
        onLink: true,
        autonomous: true,
        validSeconds: 1000,
        preferredSeconds: 500,
      },
      { kind: 'dnsServers', lifetimeSeconds: 60, servers: [parseIp6('fd00::53')!] },
      { kind: 'dnsSearch', lifetimeSeconds: 60, domains: ['example.org'] },
    ],
  };
  const bytes = emitNd(message, parseIp6('fe80::1')!, parseIp6('ff02::1')!);
  assert.deepEqual(
    bytes.fill(0, 2, 4),
    readHex(
      '86000000' +
        '408007080000000100000002' +
        '0501000000000578' +
        '030440c0000003e8000001f400000000fd000000000000000000000000000000' +
        '190300000000003cfd000000000000000000000000000053' +
        '1f0300000000003c076578616d706c65036f726700000000',
    ),
  );
  assert.deepEqual(parseNd(bytes, 0, bytes.length), message);
  assert.equal(
    formatNd(message),
    'nd router-advertisement lifetime 1800 managed mtu 1400 prefix fd00::/64 dns fd00::53 search example.org',
  );
});

test('an option without length, or longer than the message, spoils the message', () => {
  const bytes = readHex(RS)!;
  assert.equal(parseNd(bytes.with(9, 0), 0, 16), undefined);
  assert.equal(parseNd(bytes.with(9, 2), 0, 16), undefined);
  assert.equal(parseNd(bytes, 0, 15), undefined);
  assert.deepEqual(parseNd(bytes, 0, 8), { kind: 'routerSolicitation', options: [] });
});

test('a link-layer address of another length is kept as bytes', () => {
  const message = parsed(`8500000000000000${'0102'}${'00'.repeat(14)}`);
  assert.deepEqual(message.options, [{ kind: 'other', type: 1, data: new Uint8Array(14) }]);
});

test('other ICMPv6 is no neighbour discovery', () => {
  assert.equal(parseNd(new Uint8Array(64).fill(128, 0, 1), 0, 64), undefined);
});
