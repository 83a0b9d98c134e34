// The repository polices itself: the import table, purity, sizes, READMEs and dependencies.
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import {
  crowdedFolders,
  danglingImports,
  deviceProblems,
  documentedPackages,
  environmentProblems,
  FILE_LINES_MAX,
  FULL_FOLDERS,
  importProblems,
  isTest,
  launcherPackages,
  linesOf,
  longest,
  loosePromises,
  MAY_IMPORT,
  packageOf,
  purityProblems,
  readPackageList,
} from './house/rules.ts';
import { codeOf, importsOf, type SourceFile } from './house/source.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const files = (...globs: string[]): SourceFile[] =>
  globs
    .flatMap((glob) => globSync(glob, { cwd: root }))
    .sort()
    .map((path) => ({ path, text: read(path) }));

const typescript = files('{src,test,bench}/**/*.ts');
const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
const none = (problems: readonly string[]): void => assert.deepEqual(problems, [], problems.join('\n'));

describe('house', () => {
  test('imports are those of the table', () => none(importProblems(typescript)));
  test('no device of simulate imports another one', () => none(deviceProblems(typescript)));
  test('every import names a file that is there', () =>
    none(danglingImports(typescript, (path) => existsSync(join(root, path)))));
  test('packet, topology, flow and simulate know no Node, no time, no chance and no waiting', () =>
    none(purityProblems(typescript)));
  test('only main.ts reads the environment', () => none(environmentProblems(typescript)));
  test('no promise, switched-off check or lonely test is left in a file', () => none(loosePromises(typescript)));

  test('files are short', (t) => {
    const sources = [...typescript, ...files('bpf/*.{c,h}')];
    const ten = longest(sources, 10);
    t.diagnostic('the ten longest files');
    for (const { path, lines } of ten) console.log(`${String(lines).padStart(6)}  ${path}`);
    none(ten.filter(({ lines }) => lines > FILE_LINES_MAX).map(({ path, lines }) => `${path} has ${lines} lines`));
  });

  test('folders are small, and those that are argued to be full are', () => {
    none(crowdedFolders(typescript));
    for (const folder of Object.keys(FULL_FOLDERS))
      assert.ok(existsSync(join(root, folder)), `${folder} is argued for and gone`);
  });

  test('every folder of src is in the import table and has a README of at most 30 lines', () => {
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    none(
      folders.flatMap(({ name }) => {
        const path = `src/${name}/README.md`;
        if (MAY_IMPORT[name] === undefined) return [`src/${name} is not in the import table`];
        if (!existsSync(join(root, path))) return [`${path} is missing`];
        const lines = linesOf(read(path));
        return lines > 30 ? [`${path} has ${lines} lines, more than 30`] : [];
      }),
    );
    assert.ok(linesOf(read('bpf/README.md')) <= 30, 'bpf/README.md has more than 30 lines');
  });

  test('ARCHITECTURE.md has at most 150 lines', () => assert.ok(linesOf(read('ARCHITECTURE.md')) <= 150));

  test('a program imports what package.json says it depends on, and tools stay in tests', () => {
    const runtime = Object.keys(manifest.dependencies ?? {});
    const tools = Object.keys(manifest.devDependencies ?? {});
    none(
      typescript.flatMap((file) =>
        importsOf(file.text).flatMap((name) => {
          const wanted = packageOf(name);
          if (wanted === undefined || runtime.includes(wanted)) return [];
          if (tools.includes(wanted) && (isTest(file.path) || !file.path.startsWith('src/'))) return [];
          return [`${file.path}: imports ${wanted}, which is no dependency`];
        }),
      ),
    );
    const used = new Set(typescript.flatMap((file) => importsOf(file.text).map(packageOf)));
    none(runtime.filter((name) => !used.has(name)).map((name) => `nobody imports ${name}`));
  });

  test('package-lock.json holds all that it speaks of, other platforms too: npm ci refuses it otherwise', () => {
    type Locked = Readonly<
      Record<'dependencies' | 'optionalDependencies', Readonly<Record<string, string>> | undefined>
    >;
    const locked = (JSON.parse(read('package-lock.json')) as { packages: Readonly<Record<string, Locked>> }).packages;
    none(
      Object.entries(locked).flatMap(([path, { dependencies, optionalDependencies }]) =>
        Object.keys({ ...dependencies, ...optionalDependencies })
          .filter(
            (name) =>
              locked[`${path}/node_modules/${name}`] === undefined && locked[`node_modules/${name}`] === undefined,
          )
          .map((name) => `${path || 'package.json'} wants ${name}, which package-lock.json does not hold`),
      ),
    );
  });

  test('every Debian package that a folder lists has a reason and is named in the launcher', () => {
    const named = launcherPackages(read('aya'));
    const lists = files('{src,test,bench}/**/packages.txt').map(({ path, text }) => ({
      path,
      ...readPackageList(path, text),
    }));
    none(lists.flatMap(({ problems }) => problems));
    none(
      lists.flatMap(({ path, names }) =>
        names.filter((name) => !named.includes(name)).map((name) => `${path}: ${name} is not in aya`),
      ),
    );
  });

  test('docs/dependencies.md has a row for each dependency and for nothing else', () => {
    const documented = documentedPackages(read('docs/dependencies.md'));
    const npm = ['dependencies', 'devDependencies', 'optionalDependencies'].flatMap((part) =>
      Object.keys(manifest[part] ?? {}),
    );
    const wanted = [...npm, ...launcherPackages(read('aya')), 'npm'];
    assert.deepEqual(documented.toSorted(), wanted.toSorted());
  });
});

const file = (path: string, text: string): SourceFile => ({ path, text });

describe('the rules themselves', () => {
  test('an import is found in every form, and not in comments and texts', () => {
    const text = `// import a from './comment.ts'
import a from './a.ts';
import type { B,
  C } from "./b.ts";
export * from './c.ts';
import './d.ts';
const e = await import('./e.ts');
type F = import('./f.ts').F;
const g = "import x from './g.ts'";
const h = \`$\{await import('./h.ts')} import './i.ts'\`;
/* import './j.ts'; */
const from = 'x';
`;
    assert.deepEqual(importsOf(text), ['./a.ts', './b.ts', './c.ts', './d.ts', './e.ts', './f.ts', './h.ts']);
  });

  test('code keeps its lines and columns when comments and texts are blanked', () => {
    const lines = ['a // b', "'c' + `d$" + '{e}f` /* g', 'h */ i'];
    assert.equal(codeOf(lines.join('\n')), ['a     ', '    +     e        ', '     i'].join('\n'));
  });

  test('a wrong import is a problem, type or not; a test is free', () => {
    const wrong = [
      file('src/flow/a.ts', "import type { X } from '../topology/nodes.ts';"),
      file('src/agent/a.ts', "const s = await import('../store/memory.ts');"),
      file('src/cli/a.ts', "import '../main.ts';"),
      file('src/api/a.ts', "import './testing/fake.ts';"),
      file('src/new/a.ts', ''),
      file('bench/a.ts', "import '../src/store/memory.ts';"),
    ];
    assert.deepEqual(importProblems(wrong), [
      'src/flow/a.ts: flow may not import topology (../topology/nodes.ts)',
      'src/agent/a.ts: agent may not import store (../store/memory.ts)',
      'src/cli/a.ts: main.ts is imported by nobody',
      'src/api/a.ts: imports src/api/testing/fake.ts, which is for tests',
      'src/new/a.ts: src/new is not in the import table',
      'bench/a.ts: bench may not import store (../src/store/memory.ts)',
    ]);
    const right = [
      file('src/flow/a.test.ts', "import '../topology/nodes.ts';"),
      file('src/agent/a.ts', "import '../datapath/ebpf/x.ts';"),
      file('src/main.ts', "import './store/memory.ts';"),
      file('bench/a.ts', "import '../src/datapath/ebpf/testing/testrun.ts';"),
    ];
    assert.deepEqual(importProblems(right), []);
  });

  test('a device that imports another one is a problem, its own files and what devices share are none', () => {
    assert.deepEqual(
      deviceProblems([
        file('src/simulate/router/a.ts', "import { b } from '../bridge.ts';\nimport './b.ts';\nimport '../router.ts';"),
        file('src/simulate/bridge.ts', "import './chain.ts';\nimport './router/a.ts';"),
        file('src/simulate/journey.ts', "import './bridge.ts';\nimport './router.ts';"),
      ]),
      [
        'src/simulate/router/a.ts: a device imports another one (../bridge.ts)',
        'src/simulate/bridge.ts: a device imports another one (./router/a.ts)',
      ],
    );
  });

  test('what is impure is found by line, also in a file of lib that pure code reaches', () => {
    const impure = [
      file('src/packet/a.ts', "import { b } from '../lib/b.ts';\nconst t = Date.now();"),
      file('src/lib/b.ts', "import 'node:fs';\nexport const b = async () => Math.random();"),
      file('src/lib/c.ts', 'const later = await fetch();'),
    ];
    assert.deepEqual(purityProblems(impure), [
      'src/lib/b.ts: pure code imports node:fs',
      'src/lib/b.ts:2: pure code waits',
      'src/lib/b.ts:2: pure code asks chance',
      'src/packet/a.ts:2: pure code reads a clock',
    ]);
    const pure = file('src/packet/a.ts', "// await Date.now()\nconst text = 'async process.env';\n");
    assert.deepEqual(purityProblems([pure]), []);
  });

  test('a dangling import, a reader of the environment and a promise are found', () => {
    const bad = file('src/lib/a.ts', "import './gone.ts';\nprocess.env.X; // TODO later");
    assert.deepEqual(
      danglingImports([bad], () => false),
      ['src/lib/a.ts: there is no ./gone.ts'],
    );
    assert.deepEqual(environmentProblems([bad]), ['src/lib/a.ts: reads process.env; only main.ts does']);
    assert.deepEqual(loosePromises([bad]), ['src/lib/a.ts:2: a promise in a comment']);
  });

  test('a folder with too many files is found; its tests do not count', () => {
    const many = Array.from({ length: 16 }, (_, at) => file(`src/cli/${at}.ts`, ''));
    const tests = Array.from({ length: 16 }, (_, at) => file(`src/api/${at}.test.ts`, ''));
    assert.equal(crowdedFolders([...many, ...tests]).length, 1);
    assert.deepEqual(crowdedFolders(many.slice(1)), []);
  });

  test('lists of packages are read from the launcher, the lists and the documentation', () => {
    assert.deepEqual(launcherPackages('packages_a=\'x y\'\npackages_b="$packages_a z"\npackages= other=\n'), [
      'x',
      'y',
      'z',
    ]);
    assert.deepEqual(readPackageList('p', '# head\n\na  # why\nb\n'), {
      names: ['a', 'b'],
      problems: ['p: "b" has no reason (NAME  # why)'],
    });
    assert.deepEqual(documentedPackages('| `a` | b |\n| --- | --- |\ntext `c`\n| d | `e` |'), ['a']);
  });
});
