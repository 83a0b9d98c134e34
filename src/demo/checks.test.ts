import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CannotStart, checkKernel, checkUser } from './checks.ts';

test('Linux 6.1 and newer will do, older will not', () => {
  for (const good of ['6.1.0-49-amd64', '6.18.44', '7.0.0', '10.2-rc1']) checkKernel(good);
  for (const bad of ['6.0.19', '5.15.0-91-generic', '4.19']) {
    assert.throws(
      () => checkKernel(bad),
      new CannotStart(`This kernel is Linux ${bad}: Ayatori needs Linux 6.1 or newer.`),
    );
  }
});

test('only root will do', () => {
  checkUser(0);
  assert.throws(() => checkUser(1000), CannotStart);
});
