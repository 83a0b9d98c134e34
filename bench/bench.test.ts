// What the bench makes of what it saw. No figure is taken here.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { whyNoOvn } from './beds/ovn.ts';
import { othersAmong, othersCpus, parseStat } from './disturbance.ts';
import { perMs } from './metrics.ts';
import { parseOptions, UsageError } from './options.ts';
import { Figures, jobKey, reportOf } from './results.ts';
import { inTurn } from './rounds.ts';
import { median, spread } from './statistics.ts';
import { formatJob, formatOwn, formatRatio, formatRuns } from './table.ts';

describe('statistics', () => {
  test('the median does not depend on the order, and of an even number lies in the middle', () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([4, 1, 3, 100]), 3.5);
    assert.throws(() => median([]));
  });

  test('the spread is what was seen at both ends', () => {
    assert.deepEqual(spread([2, 8, 5]), { least: 2, most: 8 });
  });

  test('packets in nanoseconds are thousands a second', () => {
    assert.equal(perMs(200, 1e6), 200);
  });
});

describe('options', () => {
  test('without flags everything is measured, four rounds', () => {
    assert.deepEqual(parseOptions([]), {
      jobs: ['l2', 'l3'],
      contenders: ['limit', 'linux', 'ovn', 'ayatori'],
      ...{ rounds: 4, quick: false, segmented: true, own: true, json: undefined },
    });
  });

  test('--quick is one round on one underlay, unless rounds are given', () => {
    const quick = parseOptions(['--quick'])!;
    assert.deepEqual([quick.rounds, quick.segmented], [1, false]);
    assert.equal(parseOptions(['--quick', '--rounds', '3'])!.rounds, 3);
  });

  test('contenders stand in their order, and figures of Ayatori alone need Ayatori', () => {
    const options = parseOptions(['--contenders', 'linux,limit', '--jobs', 'l3'])!;
    assert.deepEqual(options.contenders, ['limit', 'linux']);
    assert.deepEqual([options.jobs, options.own], [['l3'], false]);
  });

  test('what is not there is named, with what is', () => {
    assert.throws(
      () => parseOptions(['--contenders', 'ovs']),
      new UsageError('there is no contender ovs; there are limit, linux, ovn, ayatori'),
    );
    assert.throws(() => parseOptions(['--jobs', 'l4']), UsageError);
    assert.throws(() => parseOptions(['--rounds', '0']), UsageError);
    assert.throws(() => parseOptions(['--what']), UsageError);
    assert.equal(parseOptions(['--help']), undefined);
  });
});

describe('figures', () => {
  const figures = new Figures();
  figures.add('linux', 'l3', { rr_p50: 80, rr_p99: 120 }, 0.1);
  figures.add('ayatori', 'l3', { rr_p50: 40, rr_p99: 90 }, 0.3);
  figures.add('linux', 'l3', { rr_p50: 60, rr_p99: 100 }, 0.2);

  test('each metric of each contender is one result with all its runs', () => {
    assert.deepEqual(figures.results()[0], {
      ...{ contender: 'linux', job: 'l3', metric: 'rr_p50', unit: 'µs', median: 70 },
      runs: [80, 60],
    });
    assert.equal(figures.results().length, 4);
    assert.deepEqual(figures.othersCpus, { median: 0.2, most: 0.3 });
  });

  test('the table has medians with their spread, ratios, and a dash where there is nothing', () => {
    const lines = formatJob('l3: routed', 'l3', figures, ['linux', 'ayatori']);
    assert.equal(lines[1], 'l3: routed');
    assert.deepEqual(lines[2]!.split(/\s+/), ['metric', 'unit', 'linux', 'ayatori', '/linux']);
    assert.match(lines.find((line) => line.startsWith('rr_p50'))!, /µs +70 \(60–80\) +40 +×0\.57$/);
    assert.match(lines.find((line) => line.startsWith('tcp '))!, /Gbit\/s +- +- +-$/);
  });

  test('the JSON names machine, kernel, date, every result with its runs, and who is missing', () => {
    const machine = { machine: 'two CPUs', kernel: '6.12', date: '2026-11-20T12:00:00.000Z' };
    const own = { contender: 'ayatori', job: 'own', metric: 'load_ms', unit: 'ms', median: 60, runs: [60] };
    const report = reportOf(machine, figures, [own], [{ contender: 'ovn', why: 'not installed' }], 2);
    const { results, ...rest } = JSON.parse(JSON.stringify(report));
    assert.deepEqual(rest, {
      ...machine,
      missing: [{ contender: 'ovn', why: 'not installed' }],
      circumstances: { rounds: 2, othersCpus: { median: 0.2, most: 0.3 } },
    });
    assert.equal(results.length, 5);
    for (const result of results) {
      assert.deepEqual(Object.keys(result), ['contender', 'job', 'metric', 'unit', 'median', 'runs']);
    }
    assert.deepEqual(results.at(-1), own);
  });

  test('a job on the segmented underlay is a job of its own', () => {
    assert.deepEqual([jobKey('l3', 'whole'), jobKey('l3', 'segmented')], ['l3', 'l3-segmented']);
  });

  test('one round has no spread, and a ratio needs both', () => {
    assert.equal(formatRuns([17.44], { digits: 1 }), '17.4');
    assert.equal(formatRatio([3], []), '-');
    assert.equal(formatRatio([3, 5], [2, 2]), '×2.00');
  });

  test('figures of Ayatori alone are a table of their own', () => {
    const [, title, , row] = formatOwn([
      { contender: 'ayatori', job: 'own', metric: 'load_ms', unit: 'ms', median: 61.5, runs: [61.5] },
    ]);
    assert.equal(title, 'ayatori by itself');
    assert.equal(row, 'load_ms    ms    61.5');
    assert.deepEqual(formatOwn([]), []);
  });
});

describe('rounds', () => {
  test('another contender begins each round', () => {
    assert.deepEqual(
      [1, 2, 4].map((round) => inTurn(['a', 'b', 'c'], round).join('')),
      ['abc', 'bca', 'abc'],
    );
    assert.deepEqual(inTurn([], 2), []);
  });
});

describe('disturbance', () => {
  test('a line of /proc is read whatever the name of the program is', () => {
    const stat = '42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 30 12 0 0 20 0 1 0 5000';
    assert.deepEqual(parseStat(42, stat), { pid: 42, parent: 7, ticks: 42 });
  });

  test('neither the bench, nor what it started, nor threads of the kernel are others', () => {
    const process = (pid: number, parent: number) => ({ pid, parent, ticks: pid });
    const all = [
      process(1, 0),
      process(2, 0),
      process(5, 2),
      process(10, 1),
      process(11, 10),
      process(12, 11),
      process(20, 1),
    ];
    assert.deepEqual(
      [...othersAmong(all, 10)],
      [
        [1, 1],
        [20, 20],
      ],
    );
  });

  test('what others used is counted in CPUs, those that came meanwhile included', () => {
    const before = {
      others: new Map([
        [1, 100],
        [2, 50],
      ]),
      stolen: 10,
      atMs: 1000,
    };
    const after = { others: new Map([[1, 150]]), stolen: 30, atMs: 2000 };
    assert.equal(othersCpus(before, after), 0.7);
  });
});

describe('peers', () => {
  test('a peer that is not installed is missing by name, with what to do', () => {
    assert.match(whyNoOvn('/nowhere')!, /not installed \(no ovsdb-tool\): aya bench --install/);
  });
});
