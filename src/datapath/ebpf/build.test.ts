import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { OBJECT_FILE } from './loader.ts';

const build = fileURLToPath(new URL('../../../bpf/build.sh', import.meta.url));

function whyNoBuild(): string | false {
  for (const tool of ['clang-16', 'llvm-strip-16']) {
    if (spawnSync(tool, ['--version']).status !== 0) return `${tool} is not installed`;
  }
  return fs.existsSync('/usr/include/bpf/bpf_helpers.h') ? false : 'libbpf-dev is not installed';
}

test('the object in the checkout is what its sources build', { skip: whyNoBuild() }, () => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'ayatori-build-'));
  try {
    const rebuilt = path.join(directory, 'ayatori.bpf.o');
    const { status, stderr } = spawnSync(build, [rebuilt], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.ok(fs.readFileSync(rebuilt).equals(fs.readFileSync(OBJECT_FILE)), 'run bpf/build.sh and commit the object');
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
});
