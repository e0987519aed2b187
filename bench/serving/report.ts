/** The serving benchmark's results: as JSON lines, and as tables for a person. */

import { summarize } from '../../cli/statistics.ts';
import { tableLines } from '../../cli/table.ts';
import { RESOLUTION_MS } from '../lib/event-loop.ts';
import type { Machine } from '../lib/machine.ts';
import { rounded } from '../lib/result-log.ts';
import type { BenchmarkResult } from './benchmark.ts';

/** What all records of a run have in common. */
export interface RunFacts extends Machine {
  readonly date: string;
  readonly threads: number;
  /** The one really used. */
  readonly backend: string;
  readonly model: string;
  /** Of most weights, and of the KV cache. */
  readonly dtype: string;
  readonly kvDtype: string;
  readonly seed: number;
  /** What else the reader should know, such as other load on the machine. */
  readonly note?: string;
}

export function toRecords(facts: RunFacts, { loads, prefix, idle }: BenchmarkResult): object[] {
  const common = { benchmark: 'serving', ...facts };
  return [
    ...loads.map(({ scenario, concurrency, numRequests, samples }) => ({
      ...common,
      scenario,
      concurrency,
      numRequests,
      idleEventLoop: roundedAll(idle),
      ...summaries(samples),
    })),
    { ...common, scenario: 'shared-prefix', ...summaries(prefix) },
  ];
}

/** Each figure's samples, median, minimum and maximum. */
function summaries<T extends object>(samples: readonly T[]): Record<string, object> {
  const names = Object.keys(samples[0] ?? {}) as (keyof T & string)[];
  return Object.fromEntries(
    names.map((name) => {
      const { samples: values, ...rest } = summarize(samples.map((sample) => Number(sample[name])));
      return [name, { samples: values.map(rounded), ...roundedAll(rest) }];
    }),
  );
}

function roundedAll(values: object): Record<string, number> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, rounded(value as number)]));
}

export function toText(facts: RunFacts, result: BenchmarkResult): string {
  return [headText(facts, result), loadText(result), prefixText(result)].join('\n\n');
}

function headText(facts: RunFacts, { idle, loads }: BenchmarkResult): string {
  return [
    `serving: ${facts.model} (${facts.dtype}, KV ${facts.kvDtype}), backend ${facts.backend}, ${facts.threads} threads`,
    `${facts.numCpus} x ${facts.cpu}, Node ${facts.node}, commit ${facts.commit}`,
    `medians of ${loads[0]?.samples.length ?? 0} repetitions (lowest to highest)`,
    'hits: prompt tokens from the prefix cache; own: most CPU time the host thread itself used between two ticks',
    `event loop: ms between ticks of a ${RESOLUTION_MS} ms timer; idle p50 ${idle.p50Ms.toFixed(1)}, ` +
      `p99 ${idle.p99Ms.toFixed(1)}, max ${idle.maxMs.toFixed(1)}`,
  ].join('\n');
}

function loadText({ loads }: BenchmarkResult): string {
  const header = ['load', 'n', 'tokens/s', 'TTFT p50', 'p99 ms', 'ITL p50', 'p99 ms', 'hits', 'preempt'];
  const rows = loads.map(({ scenario, concurrency, samples }) => {
    const of = (name: keyof (typeof samples)[number]) => summarize(samples.map((sample) => sample[name]));
    const rate = of('tokensPerSecond');
    const loop = (name: 'P50' | 'P99' | 'Max' | 'OwnMax') => of(`eventLoop${name}Ms`).median.toFixed(1);
    return [
      scenario,
      String(concurrency),
      `${rate.median.toFixed(1)} (${rate.min.toFixed(1)}-${rate.max.toFixed(1)})`,
      of('ttftP50Ms').median.toFixed(1),
      of('ttftP99Ms').median.toFixed(1),
      of('itlP50Ms').median.toFixed(1),
      of('itlP99Ms').median.toFixed(1),
      `${(100 * of('cacheHitRate').median).toFixed(0)}%`,
      of('numPreemptions').median.toFixed(0),
      loop('P50'),
      loop('P99'),
      loop('Max'),
      loop('OwnMax'),
    ];
  });
  const columns = [...header, 'loop p50', 'p99', 'max', 'own ms'];
  return tableLines([columns, ...rows], { rightAligned: columns.map((_, i) => i).slice(1) }).join('\n');
}

function prefixText({ prefix }: BenchmarkResult): string {
  const of = (name: keyof (typeof prefix)[number]) => summarize(prefix.map((sample) => sample[name]));
  const ratio = of('ttftRatio');
  return (
    `shared prefix: the second request finds ${of('numCachedTokens').median} tokens cached; its TTFT is ` +
    `${of('secondTtftMs').median.toFixed(1)} ms after ${of('firstTtftMs').median.toFixed(1)} ms, ` +
    `a ratio of ${ratio.median.toFixed(3)} (${ratio.min.toFixed(3)}-${ratio.max.toFixed(3)})`
  );
}
