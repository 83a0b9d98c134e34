import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emitDomains, parseDomains, textForm } from './option.ts';
import { readHex } from './word/arguments.ts';

function names(hex: string): string[] | undefined {
  const bytes = readHex(hex)!;
  return parseDomains(bytes, 0, bytes.length);
}

test('a compressed search list is read as in the example of RFC 3397', () => {
  const bytes = readHex('03656e67056170706c6503636f6d00096d61726b6574696e67c004')!;
  assert.deepEqual(parseDomains(bytes, 0, bytes.length), ['eng.apple.com', 'marketing.apple.com']);
});

test('zeros behind the names are padding', () => {
  assert.deepEqual(names('0161036f726700000000'), ['a.org']);
  assert.deepEqual(names('00'), []);
});

test('pointers that do not point back, labels that are cut off and names without end are malformed', () => {
  assert.equal(names('c000'), undefined);
  assert.equal(names('0161c002'), undefined);
  assert.equal(names('0161c0'), undefined);
  assert.equal(names('0561'), undefined);
  assert.equal(names('0161'), undefined);
  assert.equal(names(`40${'61'.repeat(64)}00`), undefined);
  assert.equal(names(`${`3f${'61'.repeat(63)}`.repeat(4)}00`), undefined);
});

test('names that DNS cannot write are left out', () => {
  assert.deepEqual(
    emitDomains(['a..b', 'x'.repeat(64), `${'y'.repeat(60)}.`.repeat(5), '', 'a.org']),
    readHex('0161036f726700'),
  );
});

test('zeros at the end of a text are no part of it', () => {
  assert.equal(textForm.read(readHex('766d0000')!), 'vm');
  assert.equal(textForm.read(readHex('0000')!), undefined);
});
