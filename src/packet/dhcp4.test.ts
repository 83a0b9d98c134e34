import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Ip4, parseIp4, parseMac } from './address.ts';
import { DHCP4, type Dhcp4Message, emitDhcp4, formatDhcp4, parseDhcp4 } from './dhcp4.ts';
import { readHex } from './word/arguments.ts';

const mac = parseMac('02:00:00:00:00:0a')!;
const ip = (text: string): Ip4 => parseIp4(text)!;

/** What ISC dhclient sends first; its zeros are written short. */
const DISCOVER =
  `01010600cbf17c7e${'00'.repeat(20)}02000000000a${'00'.repeat(202)}` +
  `638253633501010c02766d370d011c02030f06770c2c2f1a792aff${'00'.repeat(33)}`;

const EMPTY: Dhcp4Message = {
  op: 2,
  transactionId: 7,
  seconds: 0,
  broadcast: false,
  clientAddress: ip('0.0.0.0'),
  yourAddress: ip('10.0.0.5'),
  nextServer: ip('0.0.0.0'),
  relayAgent: ip('0.0.0.0'),
  clientMac: mac,
  options: {},
  rawOptions: [],
};

function again(message: Dhcp4Message): Dhcp4Message {
  const bytes = emitDhcp4(message);
  const parsed = parseDhcp4(bytes, 0, bytes.length);
  assert.ok(parsed);
  return parsed;
}

test('a captured discover has its type, name and the options it asks for', () => {
  const bytes = readHex(DISCOVER)!;
  const message = parseDhcp4(bytes, 0, bytes.length)!;
  assert.equal(formatDhcp4(message), 'dhcp discover 02:00:00:00:00:0a');
  assert.equal(message.transactionId, 0xcbf17c7e);
  assert.deepEqual(message.options, {
    messageType: DHCP4.discover,
    hostname: 'vm',
    parameterRequestList: Uint8Array.of(1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42),
  });
  assert.deepEqual(message.rawOptions, []);
});

test('the usual options of an offer are laid out as the RFCs say', () => {
  const options = {
    messageType: DHCP4.offer,
    serverId: ip('10.0.0.1'),
    leaseSeconds: 3600,
    renewSeconds: 1800,
    rebindSeconds: 3150,
    subnetMask: ip('255.255.255.0'),
    classlessRoutes: [
      { destination: ip('10.7.0.0'), bits: 17, gateway: ip('10.0.0.9') },
      { destination: ip('0.0.0.0'), bits: 0, gateway: ip('10.0.0.1') },
    ],
    routers: [ip('10.0.0.1')],
    dnsServers: [ip('8.8.8.8'), ip('1.1.1.1')],
    hostname: 'vm',
    domainName: 'a.org',
    domainSearch: ['a.org'],
    mtuBytes: 1450,
    ntpServers: [ip('10.9.9.9')],
  };
  const bytes = emitDhcp4({ ...EMPTY, options });
  const written = Buffer.from(bytes.subarray(240)).toString('hex');
  assert.equal(
    written,
    '350102' +
      '36040a000001' +
      '330400000e10' +
      '3a0400000708' +
      '3b0400000c4e' +
      '0104ffffff00' +
      '790d110a07000a000009000a000001' +
      '03040a000001' +
      '06080808080801010101' +
      '0c02766d' +
      '0f05612e6f7267' +
      '77070161036f726700' +
      '1a0205aa' +
      '2a040a090909' +
      'ff',
  );
  assert.deepEqual(again({ ...EMPTY, options }), { ...EMPTY, options });
});

test('a short message is filled up to the 300 bytes that old clients want', () => {
  assert.equal(emitDhcp4(EMPTY).length, 300);
});

test('a value longer than 255 bytes is split and joined again', () => {
  const relayAgentInformation = Uint8Array.from({ length: 600 }, (_, index) => index);
  const message = { ...EMPTY, options: { relayAgentInformation } };
  const bytes = emitDhcp4(message);
  assert.deepEqual(
    [bytes[240], bytes[241], bytes[497], bytes[498], bytes[754], bytes[755]],
    [82, 255, 82, 255, 82, 90],
  );
  assert.deepEqual(again(message), message);
});

test('options in the file and name fields are read when the message says so', () => {
  const bytes = emitDhcp4({ ...EMPTY, rawOptions: [{ code: 200, data: Uint8Array.of(1) }] });
  bytes.set(readHex('3401030cff')!, 240);
  bytes.set(readHex('340103ff')!, 240);
  bytes.set(readHex('0f0161ff')!, 108);
  bytes.set(readHex('0c0162ff')!, 44);
  const message = parseDhcp4(bytes, 0, bytes.length)!;
  assert.deepEqual(message.options, { domainName: 'a', hostname: 'b' });
  assert.deepEqual(message.rawOptions, []);
});

test('a raw option wins over the one of the table', () => {
  const message = { ...EMPTY, options: { mtuBytes: 1500 }, rawOptions: [{ code: 26, data: Uint8Array.of(5, 120) }] };
  assert.deepEqual(again(message).options, { mtuBytes: 1400 });
});

test('raw options with a code that is none are left out', () => {
  const rawOptions = [0, 255, 256 + 26].map((code) => ({ code, data: Uint8Array.of(5, 120) }));
  assert.deepEqual(again({ ...EMPTY, rawOptions }), EMPTY);
});

test('known options of a wrong length are kept as bytes', () => {
  const rawOptions = [
    { code: 51, data: Uint8Array.of(1, 2, 3) },
    { code: 121, data: Uint8Array.of(33, 1, 2, 3, 4, 5, 1, 2, 3, 4) },
  ];
  assert.deepEqual(again({ ...EMPTY, rawOptions }), { ...EMPTY, rawOptions });
});

test('an option that is cut off ends the list', () => {
  const bytes = emitDhcp4({ ...EMPTY, options: { messageType: 1, hostname: 'x' } });
  const cut = bytes.subarray(0, 245);
  assert.deepEqual(parseDhcp4(cut, 0, cut.length)?.options, { messageType: 1 });
});

test('BOOTP without the cookie, other hardware and other operations are not parsed', () => {
  const bytes = emitDhcp4(EMPTY);
  for (const at of [0, 1, 2, 236]) assert.equal(parseDhcp4(bytes.with(at, 9), 0, 300), undefined, `byte ${at}`);
  assert.equal(parseDhcp4(bytes, 0, 239), undefined);
});
