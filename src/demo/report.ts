// What the demo prints: a line for each step as it happens, and a table at the end.

import type { Outcome, Step } from './steps.ts';

export interface Done {
  readonly step: Step;
  readonly outcome: Outcome;
}

/** `  12.3 s  ok    ping, routed: 20 of 20  (first 1.2 ms, then 0.08 ms)` */
export function formatStep(atMs: number, { step, outcome }: Done): string {
  const figure = outcome.figure ? `  (${outcome.figure})` : '';
  return `${clock(atMs)}  ${outcome.ok ? 'ok    ' : 'FAILED'}  ${step.name}: ${oneLine(outcome.seen)}${figure}`;
}

export const formatNote = (atMs: number, text: string): string => `${clock(atMs)}          ${text}`;

const clock = (atMs: number): string => `${(atMs / 1000).toFixed(1).padStart(6)} s`;

const oneLine = (text: string): string => text.trim().replaceAll(/\s+/g, ' ');

/** What a program said in its failure is on the line of the step in full; the table stays a table. */
const CELL_CHARACTERS = 90;
const cut = (text: string): string => (text.length > CELL_CHARACTERS ? `${text.slice(0, CELL_CHARACTERS - 1)}…` : text);

const HEADINGS = ['step', 'expected', 'seen', 'latency or throughput'] as const;

export function formatTable(done: readonly Done[]): string[] {
  const rows = done.map(({ step, outcome }) => [
    step.name,
    step.expected,
    cut(oneLine(outcome.ok ? outcome.seen : `FAILED: ${outcome.seen}`)),
    outcome.figure ?? '',
  ]);
  const widths = HEADINGS.map((heading, at) => Math.max(heading.length, ...rows.map((row) => row[at]!.length)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, at) => cell.padEnd(widths[at]!))
      .join('  ')
      .trimEnd();
  return [line(HEADINGS), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)];
}
