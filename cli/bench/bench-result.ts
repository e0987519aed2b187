/** A measurement with all that is needed to repeat it, for a program and for a person. */
import { basename } from 'node:path';
import type { Engine } from '../../engine/engine.ts';
import type { ModelReport } from '../../engine/inspect/model-report.ts';
import type { FeatureState } from '../../engine/kernels/kernel-backend.ts';
import { describeHost, type Host } from '../host.ts';
import { packageVersion } from '../package-version.ts';
import { printable } from '../printable.ts';
import { summarize } from '../statistics.ts';
import { tableLines } from '../table.ts';
import { formatBytes, formatCount } from '../units.ts';
import { type BenchTest, testName } from './bench-test.ts';
import type { BenchEngineOptions } from './load-bench-engine.ts';
import type { DeviceFacts } from './memory-traffic.ts';

/** What all tests of a run have in common. */
export interface BenchFacts extends Host, Partial<DeviceFacts> {
  readonly quern: string;
  readonly date: string;
  /** What computes, and what of the machine it really uses. */
  readonly backend: string;
  readonly features: Readonly<Record<string, FeatureState>>;
  readonly threads: number;
  readonly model: string;
  readonly numParameters: number;
  readonly modelBytes: number;
  /** Of most weights, by bytes. */
  readonly type: string;
  readonly kvDtype: string;
  /** Prompt tokens per step. */
  readonly chunk: number;
  readonly loadMs: number;
}

export interface BenchResult {
  readonly test: BenchTest;
  /** Tokens per second, one for each repetition. */
  readonly samples: readonly number[];
  /** That each step of a generation must read at least. */
  readonly bytesPerStep?: number;
}

export function benchFacts(
  report: ModelReport,
  { engine, loadMs }: { readonly engine: Engine; readonly loadMs: number },
  options: BenchEngineOptions & { readonly maxPrefillChunk: number },
): BenchFacts {
  const { backend, features, numThreads } = engine.stats();
  return {
    quern: packageVersion(),
    date: new Date().toISOString().slice(0, 10),
    ...describeHost(),
    backend,
    features,
    threads: numThreads,
    model: basename(report.path),
    numParameters: report.numParameters,
    modelBytes: report.numTensorBytes,
    type: report.types[0]?.type ?? 'unknown',
    kvDtype: options.kvDtype,
    chunk: options.maxPrefillChunk,
    loadMs: Math.round(loadMs),
  };
}

/** One line of `--json`. */
export function benchRecord(facts: BenchFacts, result: BenchResult): object {
  const { test, samples } = result;
  const { median, min, max } = summarize(samples);
  const { kind, numTokens, batch, depth } = test;
  return {
    test: testName(test),
    ...bandwidthOf(facts, result),
    tokensPerSecond: { median: round(median), min: round(min), max: round(max), samples: samples.map(round) },
    ...{ kind, numTokens, batch, depth, repetitions: samples.length },
    ...facts,
  };
}

export function benchLines(facts: BenchFacts, results: readonly BenchResult[]): string[] {
  const hasBandwidth = facts.copyBandwidth !== undefined;
  const rows = results.map((result) => {
    const { median, min, max } = summarize(result.samples);
    const { readGbPerSecond, percentOfCopy } = bandwidthOf(facts, result);
    const bandwidth = readGbPerSecond === undefined ? ['', ''] : [shown(readGbPerSecond), `${shown(percentOfCopy!)} %`];
    return [testName(result.test), ...[median, min, max].map(shown), ...(hasBandwidth ? bandwidth : [])];
  });
  const header = ['test', 'tokens/s', 'lowest', 'highest', ...(hasBandwidth ? ['GB/s read', 'of copying'] : [])];
  return [
    `${printable(facts.model)}: ${formatCount(facts.numParameters)} parameters, ${formatBytes(facts.modelBytes)}, ` +
      `${facts.type}; KV ${facts.kvDtype}`,
    `${facts.backend} (${featureText(facts.features)}), ${facts.threads} threads; prompts in steps of ${facts.chunk}`,
    `${facts.numCpus} x ${facts.cpu}, Node ${facts.node}, quern ${facts.quern}; loaded in ${facts.loadMs} ms`,
    ...(hasBandwidth
      ? [
          `${printable(facts.device ?? 'the GPU')} copies ${shown(facts.copyBandwidth! / 1e9)} GB/s, reading and writing together`,
        ]
      : []),
    '',
    ...tableLines([header, ...rows], { rightAligned: [1, 2, 3, 4, 5] }),
  ];
}

/** In the median. Empty where nothing is known. */
function bandwidthOf(
  { copyBandwidth }: BenchFacts,
  { test, samples, bytesPerStep }: BenchResult,
): { readonly readGbPerSecond?: number; readonly percentOfCopy?: number } {
  if (copyBandwidth === undefined || bytesPerStep === undefined) return {};
  const bytesPerSecond = (bytesPerStep * summarize(samples).median) / test.batch;
  return { readGbPerSecond: round(bytesPerSecond / 1e9), percentOfCopy: round((100 * bytesPerSecond) / copyBandwidth) };
}

function featureText(features: BenchFacts['features']): string {
  const entries = Object.entries(features);
  if (entries.length === 0) return 'no optional features';
  return entries.map(([name, { used }]) => (used ? name : `no ${name}`)).join(', ');
}

function shown(tokensPerSecond: number): string {
  return tokensPerSecond.toFixed(tokensPerSecond < 1000 ? 2 : 0);
}

/** More digits than a benchmark has. */
function round(value: number): number {
  return Number(value.toPrecision(5));
}
