// What the house test looks at in a source file: its code without comments and texts, and what it imports.
// A scanner of a few states, no parser: regular expressions are taken for code, so a quotation mark in one may hide
// the rest of its line.

/** A file by its path from the root of the repository. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** The code with comments and the insides of texts blanked out; lines stay where they are. */
export function codeOf(text: string): string {
  let code = '';
  let at = 0;
  /** For each `${` that is open in a template: how many braces are open in it. */
  const templates: number[] = [];
  const blank = (until: number): void => {
    code += text.slice(at, until).replace(/[^\n]/g, ' ');
    at = until;
  };
  const template = (): void => {
    let end = at;
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1;
    blank(Math.min(end, text.length));
    if (text.startsWith('${', at)) {
      blank(at + 2);
      templates.push(0);
    } else blank(at + 1);
  };
  while (at < text.length) {
    const char = text[at]!;
    const depth = templates.at(-1);
    if (text.startsWith('//', at)) blank(endOf(text, '\n', at));
    else if (text.startsWith('/*', at)) blank(endOf(text, '*/', at + 2) + 2);
    else if (char === "'" || char === '"') {
      let end = at + 1;
      while (end < text.length && text[end] !== char && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1;
      blank(Math.min(end + 1, text.length));
    } else if (char === '`') {
      blank(at + 1);
      template();
    } else if (char === '}' && depth === 0) {
      templates.pop();
      blank(at + 1);
      template();
    } else {
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1;
      if (depth !== undefined && char === '}') templates[templates.length - 1] = depth - 1;
      code += char;
      at++;
    }
  }
  return code;
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found;
}

/** Whatever a file imports, types and lazy imports included: `./x.ts`, `node:fs`, `typebox/compile`. */
export function importsOf(text: string): string[] {
  const code = codeOf(text);
  const found: string[] = [];
  // Positions come from the code, where no comment or text can look like an import; names from the text.
  for (const statement of code.matchAll(
    /(?:^|[;\n])\s*(?:import|export)\b[^;]*?\bfrom(?=\s)|\bimport\s*\(|(?:^|[;\n])\s*import(?=\s*;)/g,
  )) {
    const after = text.slice(statement.index + statement[0].length);
    const name = /^\s*['"]([^'"]+)['"]/.exec(after)?.[1];
    if (name !== undefined) found.push(name);
  }
  return found;
}
