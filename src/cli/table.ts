// Text tables: columns as wide as their widest cell, two spaces between, no lines.

export type Cell = string | number | boolean | undefined;
export interface Row {
  readonly [column: string]: Cell;
}

const text = (cell: Cell): string =>
  cell === undefined || cell === ''
    ? '-'
    : cell === true
      ? 'yes'
      : cell === false
        ? 'no'
        : visible(String(cell)).replaceAll('\n', '\\n');

/**
 * Names are anybody's: what steers a terminal (control and bidirectional characters) is shown instead of done. Lines
 * stay lines; JSON stays JSON.
 */
export const visible = (shown: string): string =>
  shown.replaceAll(/[^\P{C}\n]/gu, (character) => character.split('').map(escaped).join(''));
const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Columns in the order of `columns`. Ends with a newline. */
export function formatTable(columns: readonly string[], rows: readonly Row[]): string {
  const cells = [
    columns.map((column) => column.toUpperCase()),
    ...rows.map((row) => columns.map((column) => text(row[column]))),
  ];
  return formatCells(cells);
}

/** `name  value` lines. */
export function formatPairs(pairs: readonly (readonly [string, Cell])[]): string {
  return formatCells(pairs.map(([name, value]) => [name, text(value)]));
}

function formatCells(lines: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

/** `3 hosts`, `1 host`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** `12 s`, `3 min`, `5 h`, `2 d`: the largest whole unit. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
