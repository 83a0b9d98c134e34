import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable, visible } from './table.ts';

test('columns are as wide as their widest cell', () => {
  assert.equal(
    formatTable(
      ['name', 'up'],
      [
        { name: 'web', up: true },
        { name: '', up: undefined },
      ],
    ),
    'NAME  UP\nweb   yes\n-     -\n',
  );
});

test('what steers a terminal is shown and not done', () => {
  assert.equal(visible('a\u001b[31m\u202eb\r\nc 綾取り é 💣'), 'a\\u001b[31m\\u202eb\\u000d\nc 綾取り é 💣');
  assert.equal(formatTable(['name'], [{ name: 'a\nNAME\u0007' }]), 'NAME\na\\nNAME\\u0007\n');
  const json = '{\n  "name": "a\\u0001b\u202e"\n}\n';
  assert.deepEqual(JSON.parse(visible(json)), JSON.parse(json));
});
