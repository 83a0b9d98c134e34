import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseIp6 } from './address.ts';
import { DHCP6, DHCP6_STATUS, type Dhcp6Message, emitDhcp6, formatDhcp6, parseDhcp6 } from './dhcp6.ts';
import { readHex } from './word/arguments.ts';

/** What ISC dhclient sends first. */
const SOLICIT =
  '01ed9aaf0001000e000100013292e93d02000000000a00060008001700180027001f' +
  '0008000200000003000c0000000a00000e1000001518';
const CLIENT = readHex('000100013292e93d02000000000a')!;

test('a captured solicit names its client, what it wants to know, and asks for one address', () => {
  const bytes = readHex(SOLICIT)!;
  const message = parseDhcp6(bytes, 0, bytes.length)!;
  assert.equal(formatDhcp6(message), 'dhcp6 solicit');
  assert.deepEqual(message, {
    messageType: DHCP6.solicit,
    transactionId: 0xed9aaf,
    options: {
      clientId: CLIENT,
      optionRequest: [23, 24, 39, 31],
      elapsedTime: 0,
      associations: [{ iaid: 10, renewSeconds: 3600, rebindSeconds: 5400, addresses: [] }],
    },
    rawOptions: [],
  });
  assert.deepEqual(emitDhcp6(message), bytes);
});

test('a reply lays out addresses inside their association, statuses inside what they are about', () => {
  const message: Dhcp6Message = {
    messageType: DHCP6.reply,
    transactionId: 9,
    options: {
      clientId: Uint8Array.of(0, 3),
      serverId: Uint8Array.of(0, 4),
      preference: 255,
      status: { code: DHCP6_STATUS.success, message: 'ok' },
      rapidCommit: true,
      dnsServers: [parseIp6('fd00::53')!],
      domainSearch: ['a.org'],
      associations: [
        {
          iaid: 1,
          renewSeconds: 10,
          rebindSeconds: 20,
          addresses: [{ address: parseIp6('fd00::5')!, preferredSeconds: 100, validSeconds: 200 }],
        },
        {
          iaid: 2,
          renewSeconds: 0,
          rebindSeconds: 0,
          addresses: [],
          status: { code: DHCP6_STATUS.noAddresses, message: '' },
        },
      ],
    },
    rawOptions: [{ code: 999, data: Uint8Array.of(1) }],
  };
  const bytes = emitDhcp6(message);
  assert.equal(
    Buffer.from(bytes).toString('hex'),
    '07000009' +
      '000100020003' +
      '000200020004' +
      '00070001ff' +
      '000d000400006f6b' +
      '000e0000' +
      '00170010fd000000000000000000000000000053' +
      '001800070161036f726700' +
      '00030028000000010000000a00000014' +
      '00050018fd00000000000000000000000000000500000064000000c8' +
      '00030012000000020000000000000000' +
      '000d00020002' +
      '03e7000101',
  );
  assert.deepEqual(parseDhcp6(bytes, 0, bytes.length), message);
  assert.equal(formatDhcp6(message), 'dhcp6 reply fd00::5 status 0 ok');
});

test('a raw option wins over the one of the table', () => {
  const message = {
    messageType: 7,
    transactionId: 1,
    options: { preference: 1 },
    rawOptions: [{ code: 7, data: Uint8Array.of(9) }],
  };
  const bytes = emitDhcp6(message);
  assert.deepEqual(parseDhcp6(bytes, 0, bytes.length)?.options, { preference: 9 });
});

test('an association with a malformed address is kept as bytes', () => {
  const data = readHex('0000000100000000000000000005000400000000')!;
  const message = { messageType: 3, transactionId: 1, options: {}, rawOptions: [{ code: 3, data }] };
  const bytes = emitDhcp6(message);
  assert.deepEqual(parseDhcp6(bytes, 0, bytes.length), message);
});

test('an option that is cut off, a relay message and a bare type are no messages', () => {
  const bytes = readHex(SOLICIT)!;
  assert.equal(parseDhcp6(bytes, 0, bytes.length - 1), undefined);
  assert.equal(parseDhcp6(bytes.with(0, 12), 0, bytes.length), undefined);
  assert.equal(parseDhcp6(bytes.with(0, 13), 0, bytes.length), undefined);
  assert.equal(parseDhcp6(bytes, 0, 3), undefined);
  assert.deepEqual(parseDhcp6(bytes, 0, 4)?.options, {});
});
