/** A comparison's results: as JSON lines, and as tables for a person. A ratio is of two measurements of the same
 * repetition, made one right after the other; above 1 Quern is better. */
import { basename } from 'node:path';
import { summarize } from '../../cli/statistics.ts';
import { tableLines } from '../../cli/table.ts';
import { formatBytes } from '../../cli/units.ts';
import { rounded } from '../lib/result-log.ts';
import type { PeerResult } from './compare.ts';

export interface Range {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One measure of all engines: Quern's, and for each peer also the ratio. */
export interface Comparison {
  /** A test's name, or 'load', 'loadedRss', 'peakRss'. */
  readonly test: string;
  readonly unit: 'tokens/s' | 'ms' | 'bytes';
  readonly values: Readonly<Record<string, Range>>;
  /** By peer. */
  readonly ratios: Readonly<Record<string, Range>>;
}

export function comparisons([quern, ...peers]: readonly PeerResult[]): Comparison[] {
  const measure = (
    test: string,
    unit: Comparison['unit'],
    samplesOf: (result: PeerResult) => readonly number[],
  ): Comparison => ({
    test,
    unit,
    values: Object.fromEntries([quern!, ...peers].map((result) => [result.name, range(samplesOf(result))])),
    ratios: Object.fromEntries(
      peers.map((peer) => {
        const pairs = samplesOf(quern!).map((own, i) => [own, samplesOf(peer)[i]!] as const);
        // Of time and memory, less is better.
        return [peer.name, range(pairs.map(([own, other]) => (unit === 'tokens/s' ? own / other : other / own)))];
      }),
    ),
  });
  return [
    ...Object.keys(quern!.samples).map((test) => measure(test, 'tokens/s', ({ samples }) => samples[test]!)),
    measure('load', 'ms', ({ loads }) => loads.map(({ startMs, loadMs }) => startMs + loadMs)),
    measure('loadedRss', 'bytes', ({ loadedRss }) => [loadedRss]),
    measure('peakRss', 'bytes', ({ peakRss }) => [peakRss]),
  ];
}

function range(samples: readonly number[]): Range {
  const { median, min, max } = summarize(samples);
  return { median: rounded(median), min: rounded(min), max: rounded(max) };
}

/** One line for each measure, with all that is needed to repeat it. */
export function toRecords(facts: object, results: readonly PeerResult[]): object[] {
  const engines = Object.fromEntries(results.map(({ name, facts }) => [name, facts]));
  return comparisons(results).map((comparison) => ({ benchmark: 'compare', ...facts, engines, ...comparison }));
}

export function toText(model: string, threads: number, results: readonly PeerResult[]): string {
  const peers = results.slice(1).map(({ name }) => name);
  const header = ['', 'quern', ...peers.flatMap((name) => [name, 'ratio', 'lowest', 'highest'])];
  const rows = comparisons(results).map(({ test, unit, values, ratios }) => [
    test,
    shown(values.quern!.median, unit),
    ...peers.flatMap((name) => {
      const { median, min, max } = ratios[name]!;
      return [shown(values[name]!.median, unit), ...[median, min, max].map((ratio) => ratio.toFixed(2))];
    }),
  ]);
  const rightAligned = header.map((_, column) => column).slice(1);
  return [
    `${basename(model)}, ${threads} threads; ratios above 1: Quern is faster, or smaller`,
    ...tableLines([header, ...rows], { rightAligned }),
  ].join('\n');
}

function shown(value: number, unit: Comparison['unit']): string {
  if (unit === 'bytes') return formatBytes(value);
  if (unit === 'ms') return `${value.toFixed(0)} ms`;
  return value.toFixed(value < 100 ? 2 : 0);
}
