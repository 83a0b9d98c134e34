// The rules of the house as values and pure checks: each takes files and answers what is wrong, one sentence each.

import { dirname, normalize } from 'node:path/posix';
import { codeOf, importsOf, type SourceFile } from './source.ts';

/** Folder of src -> folders it may import. `main.ts` may import anything and is imported by nobody. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  packet: ['lib'],
  topology: ['packet', 'lib'],
  flow: ['packet', 'lib'],
  simulate: ['packet', 'topology', 'flow', 'lib'],
  datapath: ['packet', 'flow', 'lib'],
  store: ['lib'],
  client: ['topology', 'packet', 'lib'],
  agent: ['simulate', 'flow', 'topology', 'packet', 'datapath', 'client', 'lib'],
  api: ['topology', 'packet', 'flow', 'simulate', 'store', 'lib'],
  cli: ['client', 'topology', 'packet', 'lib'],
  lab: ['lib'],
  demo: ['client', 'lab', 'lib'],
};

/** What bench/ may import of src: it stands on the lab and the demo, and measures some folders alone. */
export const BENCH_MAY_IMPORT = [
  ...['lab', 'demo', 'client', 'lib'],
  ...['packet', 'topology', 'flow', 'simulate', 'datapath', 'agent'],
];

/** Folders that decide and never do: no Node, no time, no chance, no waiting, and nothing that has any of it. */
export const PURE = ['packet', 'topology', 'flow', 'simulate'];
const IMPURE: readonly (readonly [RegExp, string])[] = [
  [/\b(?:async|await)\b/, 'waits'],
  [/\bnew Date\b|\bDate\s*\.|\bperformance\s*\./, 'reads a clock'],
  [/\bMath\s*\.\s*random\b|\bcrypto\s*\./, 'asks chance'],
  [/\bprocess\s*\.|\bBuffer\s*\./, 'uses Node'],
  [/\bset(?:Timeout|Interval|Immediate)\b|\bqueueMicrotask\b/, 'sets a timer'],
];

export const FILE_LINES_MAX = 800;
export const FOLDER_FILES_MAX = 15;
/** Folders that hold more files than others, and why. */
export const FULL_FOLDERS: Readonly<Record<string, string>> = {
  'src/packet': 'one file for each protocol',
  'src/topology': 'one file for each resource',
  'src/simulate': 'one file for each device and service',
};

/** Tests, and what only they use. */
export const isTest = (path: string): boolean =>
  path.endsWith('.test.ts') || /\/(?:conformance\.ts$|conformance\/|testing\/)/.test(path);
const folderOf = (path: string): string | undefined => /^src\/([^/]+)\//.exec(path)?.[1];
const isRelative = (name: string): boolean => name.startsWith('.');
const targetOf = (file: SourceFile, name: string): string => normalize(`${dirname(file.path)}/${name}`);

/** The import table; tests may import what they want. */
export function importProblems(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const file of files) {
    const isBench = file.path.startsWith('bench/');
    const folder = isBench ? 'bench' : folderOf(file.path);
    if (isTest(file.path) || (folder === undefined && file.path !== 'src/main.ts')) continue;
    const allowed = isBench ? BENCH_MAY_IMPORT : folder === undefined ? undefined : MAY_IMPORT[folder];
    if (folder !== undefined && allowed === undefined)
      problems.push(`${file.path}: src/${folder} is not in the import table`);
    for (const name of importsOf(file.text)) {
      if (!isRelative(name)) continue;
      const target = targetOf(file, name);
      const other = folderOf(target);
      if (target === 'src/main.ts') problems.push(`${file.path}: main.ts is imported by nobody`);
      if (isTest(target) && !isBench) problems.push(`${file.path}: imports ${target}, which is for tests`);
      if (allowed === undefined || other === folder || other === undefined || allowed.includes(other)) continue;
      problems.push(`${file.path}: ${folder} may not import ${other} (${name})`);
    }
  }
  return problems;
}

/** Files of src/simulate, and folders of the same name, that are one device: what joins them is the journey. */
const DEVICES = ['bridge', 'port', 'router'];
const deviceOf = (path: string): string | undefined => {
  const name = /^src\/simulate\/([^/.]+)(?:\.ts$|\/)/.exec(path)?.[1];
  return name !== undefined && DEVICES.includes(name) ? name : undefined;
};

/** A device never imports another one. */
export function deviceProblems(files: readonly SourceFile[]): string[] {
  return files.flatMap((file) => {
    const own = deviceOf(file.path);
    if (own === undefined) return [];
    return importsOf(file.text)
      .filter((name) => isRelative(name) && (deviceOf(targetOf(file, name)) ?? own) !== own)
      .map((name) => `${file.path}: a device imports another one (${name})`);
  });
}

/** Imports name a file that is there, with its ending. */
export function danglingImports(files: readonly SourceFile[], exists: (path: string) => boolean): string[] {
  return files.flatMap((file) =>
    importsOf(file.text)
      .filter((name) => isRelative(name) && !exists(targetOf(file, name)))
      .map((name) => `${file.path}: there is no ${name}`),
  );
}

/** The pure folders, and every file of lib that they reach. */
export function purityProblems(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const queue = files
    .filter((file) => PURE.includes(folderOf(file.path) ?? '') && !isTest(file.path))
    .map((file) => file.path);
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const name of importsOf(file.text)) if (isRelative(name)) queue.push(targetOf(file, name));
  }
  return [...reached].sort().flatMap((path) => {
    const file = byPath.get(path)!;
    const problems = importsOf(file.text)
      .filter((name) => !isRelative(name) && !/^typebox(\/|$)/.test(name))
      .map((name) => `${path}: pure code imports ${name}`);
    codeOf(file.text)
      .split('\n')
      .forEach((line, at) => {
        for (const [pattern, does] of IMPURE)
          if (pattern.test(line)) problems.push(`${path}:${at + 1}: pure code ${does}`);
      });
    return problems;
  });
}

/** Only main.ts knows the environment. */
export function environmentProblems(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => file.path.startsWith('src/') && file.path !== 'src/main.ts' && !isTest(file.path))
    .filter((file) => /\bprocess\s*\.\s*env\b/.test(codeOf(file.text)))
    .map((file) => `${file.path}: reads process.env; only main.ts does`);
}

export const linesOf = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

export function longest(
  files: readonly SourceFile[],
  count: number,
): { readonly path: string; readonly lines: number }[] {
  return files
    .map(({ path, text }) => ({ path, lines: linesOf(text) }))
    .sort((a, b) => b.lines - a.lines)
    .slice(0, count);
}

export function crowdedFolders(files: readonly SourceFile[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of files) {
    if (isTest(path) || !path.endsWith('.ts')) continue;
    counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
  }
  return [...counts]
    .filter(([folder, count]) => count > FOLDER_FILES_MAX && FULL_FOLDERS[folder] === undefined)
    .map(
      ([folder, count]) =>
        `${folder} holds ${count} files, more than ${FOLDER_FILES_MAX}: divide it, or argue it in FULL_FOLDERS`,
    );
}

/** Notes to come back to belong where someone looks for them, and switched-off checks need an argument. */
export function loosePromises(files: readonly SourceFile[]): string[] {
  const problems: string[] = [];
  for (const { path, text } of files) {
    text.split('\n').forEach((line, at) => {
      if (/\b(?:TODO|FIXME|XXX)\b/.test(line) && !path.startsWith('test/house'))
        problems.push(`${path}:${at + 1}: a promise in a comment`);
      if (/@ts-(?:ignore|nocheck)|biome-ignore-all/.test(line) && !path.startsWith('test/house')) {
        problems.push(`${path}:${at + 1}: switches a whole check off`);
      }
      if (/\b(?:test|it|describe)\.only\(|\bonly: true\b/.test(line) && isTest(path))
        problems.push(`${path}:${at + 1}: hides all other tests`);
    });
  }
  return problems;
}

/** The package of an import: `@hono/node-server`, `typebox`; undefined for files and Node's own. */
export function packageOf(name: string): string | undefined {
  if (isRelative(name) || name.startsWith('node:')) return undefined;
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Names in the first column of the tables of docs/dependencies.md. */
export function documentedPackages(markdown: string): string[] {
  return markdown.split('\n').flatMap((line) => /^\|\s*`([^`]+)`\s*\|/.exec(line)?.[1] ?? []);
}

/** Debian packages that the launcher installs. */
export function launcherPackages(launcher: string): string[] {
  const names = [...launcher.matchAll(/^packages_\w+=['"]([^'"]+)['"]$/gm)].flatMap((match) => match[1]!.split(' '));
  return [...new Set(names.filter((name) => !name.startsWith('$')))];
}

/** `name  # why` lines; a name without a reason is a problem. */
export function readPackageList(path: string, text: string): { readonly names: string[]; readonly problems: string[] } {
  const names: string[] = [];
  const problems: string[] = [];
  for (const line of text.split('\n')) {
    if (/^\s*(#|$)/.test(line)) continue;
    const [, name, why] = /^(\S+)(?:\s+#\s*(\S.*))?$/.exec(line.trimEnd()) ?? [];
    if (name !== undefined) names.push(name);
    if (why === undefined) problems.push(`${path}: "${line}" has no reason (NAME  # why)`);
  }
  return { names, problems };
}
