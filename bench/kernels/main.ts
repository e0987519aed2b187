/** Speed of the wasm kernels, one thread, against what the machine can do at most in the same run.
 *
 *   node bench/kernels/main.ts [--json] [--save] [--filter TEXT] [--repetitions N] [--numerics fast|portable] [--no-revectorize]
 *
 * Results to stdout; --json prints one object per line; --save appends them to bench/results/kernels.jsonl. */
import { WasmBackend } from '../../engine/kernels/wasm/wasm-backend.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { rounded, saveResults } from '../lib/result-log.ts';
import type { KernelCase } from './case-inputs.ts';
import { CASES } from './kernel-cases.ts';
import { type MeasureOptions, measure, type Timing } from './measure.ts';
import { newRoofline, type Roofline } from './roofline.ts';

const { values: options } = readFlags(import.meta.filename, {
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  filter: { type: 'string', default: '' },
  repetitions: { type: 'string', default: '25' },
  numerics: { type: 'string', default: 'fast' },
  'no-revectorize': { type: 'boolean', default: false },
});
const effort: MeasureOptions = { repetitions: Math.max(5, Number(options.repetitions)), minMs: 5 };

const started = performance.now();
const backend = new WasmBackend({
  numerics: options.numerics === 'portable' ? 'portable' : 'fast',
  revectorize: options['no-revectorize'] ? 'off' : 'auto',
});
// Asked for first, they are about all kernels: they are compiled now and not while something is measured.
const { relaxedSimd, revectorized } = backend.features;
const startMs = performance.now() - started;

interface Limits {
  /** Bytes per nanosecond, that is GB/s. */
  readonly bandwidth: number;
  /** Operations per nanosecond, that is GOPS. */
  readonly peaks: Readonly<Record<'f32' | 'dotI16' | 'dotI8', number>>;
}

/** The best of the repetitions: limits are not a matter of luck. */
function measureLimits(): Limits {
  const numBytes = 128 * 1024 * 1024;
  const tensor = backend.allocate('f32', [numBytes / 4], 'scratch');
  const half = numBytes / 4 / 2;
  for (const start of [0, half]) backend.upload(tensor.slice(start, start + half), new Float32Array(half).fill(1.5));
  const flags = ['--no-liftoff', '--no-wasm-lazy-compilation'];
  if (revectorized.used) flags.push('--experimental-wasm-revectorize');
  const roofline = newRoofline(backend.attachment.memories[0]!, flags);
  const read = measure(() => roofline.read((tensor.buffer as { address: number }).address, numBytes), effort);
  backend.free(tensor);
  const rounds = 10_000;
  const peak = (name: Exclude<keyof Roofline, 'read'>) =>
    roofline[name](rounds) / measure(() => void roofline[name](rounds), effort).min;
  return {
    bandwidth: numBytes / read.min,
    peaks: { f32: peak('f32'), dotI16: peak('dotI16'), dotI8: peak('dotI8') },
  };
}

function report(kernelCase: KernelCase, timing: Timing, limits: Limits): void {
  const { name, bytes, operations, peak } = kernelCase;
  const gbPerSecond = bytes / timing.median;
  const gops = operations === undefined ? undefined : operations / timing.median;
  const percentOfBandwidth = (100 * gbPerSecond) / limits.bandwidth;
  const percentOfPeak = gops === undefined ? undefined : (100 * gops) / limits.peaks[peak!];
  const { median, min, max, samples } = timing;
  const times = {
    unit: 'ns',
    median: rounded(median),
    min: rounded(min),
    max: rounded(max),
    samples: samples.map(rounded),
  };
  const figures = { bytes, operations, peak, gbPerSecond: rounded(gbPerSecond), gops: gops && rounded(gops) };
  const percents = {
    percentOfBandwidth: rounded(percentOfBandwidth),
    percentOfPeak: percentOfPeak && rounded(percentOfPeak),
  };
  record({ name, ...figures, ...percents, ...times });
  if (options.json) return;
  const cells = [
    name.padEnd(38),
    microseconds(timing.median),
    microseconds(timing.min),
    `${gbPerSecond.toFixed(1)} GB/s`.padStart(12),
    `${percentOfBandwidth.toFixed(0)} %`.padStart(6),
    gops === undefined ? '' : `${gops.toFixed(1)} GOPS`.padStart(13),
    percentOfPeak === undefined ? '' : `${percentOfPeak.toFixed(0)} %`.padStart(6),
  ];
  console.log(cells.join(' '));
}

const microseconds = (ns: number): string => `${(ns / 1000).toFixed(1)} us`.padStart(13);

const context = {
  benchmark: 'kernels',
  ...describeMachine(),
  date: new Date().toISOString().slice(0, 10),
  threads: 1,
  backend: backend.name,
  relaxedSimd: relaxedSimd.used,
  revectorized: revectorized.used,
};
const records: object[] = [];

function record(entry: object): void {
  records.push({ ...context, ...entry });
  if (options.json) console.log(JSON.stringify(records.at(-1)));
}

const limits = measureLimits();
record({ name: 'limits', startMs: rounded(startMs), ...limits });
if (!options.json) {
  const { f32, dotI16, dotI8 } = limits.peaks;
  console.log(`${JSON.stringify(context)}\nkernels ready after ${startMs.toFixed(0)} ms`);
  console.log(
    `read ${limits.bandwidth.toFixed(1)} GB/s; GOPS at most: f32 ${f32.toFixed(0)}, dot i16 ${dotI16.toFixed(0)}, dot i8 ${dotI8.toFixed(0)}`,
  );
  console.log(`${'one thread; medians'.padEnd(38)} ${'median'.padStart(13)} ${'best'.padStart(13)}`);
}
for (const factory of CASES) {
  if (!factory.name.includes(options.filter)) continue;
  const kernelCase = await factory.make(backend);
  report(kernelCase, measure(kernelCase.run, effort), limits);
  kernelCase.free();
}
await backend.close();
if (options.save) process.stderr.write(`saved to ${saveResults('kernels', records)}\n`);
