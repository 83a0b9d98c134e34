import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentConfigSchema, ConfigError, readConfig, serverConfigSchema, splitAddress } from './config.ts';

const nothing = { environment: {}, flags: {} };

test('a setting that nobody made has its default', () => {
  assert.deepEqual(readConfig(serverConfigSchema, nothing), {
    stateDir: '/var/lib/ayatori',
    listen: '127.0.0.1:7780',
    advertise: [],
    requestsPerSecond: 100,
    adminRequestsPerSecond: 5000,
    logLevel: 'info',
  });
  assert.ok(!('joinToken' in readConfig(agentConfigSchema, nothing)));
});

test('a flag wins over the environment, the environment over the file', () => {
  const config = readConfig(serverConfigSchema, {
    file: { path: 's.json', text: '{"stateDir": "/file", "listen": "127.0.0.1:1", "logLevel": "warn"}' },
    environment: { AYATORI_STATE_DIR: '/environment', AYATORI_LISTEN: '127.0.0.1:2', OTHER: 'x' },
    flags: { 'state-dir': '/flag' },
  });
  assert.equal(config.stateDir, '/flag');
  assert.equal(config.listen, '127.0.0.1:2');
  assert.equal(config.logLevel, 'warn');
});

test('a list is written with commas', () => {
  const sources = {
    environment: { AYATORI_ADVERTISE: 'https://192.0.2.1:7780,https://[2001:db8::1]:7780' },
    flags: {},
  };
  assert.deepEqual(readConfig(serverConfigSchema, sources).advertise, [
    'https://192.0.2.1:7780',
    'https://[2001:db8::1]:7780',
  ]);
});

const problems = (sources: Parameters<typeof readConfig>[1]): string => {
  try {
    readConfig(serverConfigSchema, sources);
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.message;
  }
  return '';
};

test('a bad value is told with where it came from and what is wanted', () => {
  assert.match(
    problems({ environment: { AYATORI_LISTEN: '7780' }, flags: {} }),
    /^AYATORI_LISTEN is "7780"; wanted: .*HOST:PORT/,
  );
  assert.equal(problems({ environment: { AYATORI_LISTEN: '[::1]:65535' }, flags: {} }), '');
  assert.match(problems({ environment: { AYATORI_LISTEN: '[::1]:65536' }, flags: {} }), /^AYATORI_LISTEN is /);
  assert.match(
    problems({ environment: {}, flags: { 'log-level': 'loud' } }),
    /^--log-level is "loud"; wanted: debug, info/,
  );
  assert.match(
    problems({ ...nothing, file: { path: 's.json', text: '{"stateDir": 1}' } }),
    /^s\.json: stateDir is 1; wanted: /,
  );
});

test('an unknown setting in the file is told together with those that there are', () => {
  const said = problems({ ...nothing, file: { path: 's.json', text: '{"statedir": "/x"}' } });
  assert.match(
    said,
    /^s\.json: statedir is no setting; there are stateDir, listen, advertise, tlsCertificate, tlsKey, requestsPerSecond, adminRequestsPerSecond, logLevel$/,
  );
});

test('a file that is not one JSON object is refused by name', () => {
  assert.match(problems({ ...nothing, file: { path: 's.json', text: '{' } }), /^s\.json: not JSON/);
  assert.match(problems({ ...nothing, file: { path: 's.json', text: '[]' } }), /^s\.json: must hold one JSON object/);
});

test('an address splits at its last colon, brackets of IPv6 taken off', () => {
  assert.deepEqual(splitAddress('127.0.0.1:7780'), { host: '127.0.0.1', port: 7780 });
  assert.deepEqual(splitAddress('[::1]:7780'), { host: '::1', port: 7780 });
});
