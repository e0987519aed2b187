/** What a long context costs a token, against what its bytes explain: tokens after a short and after a long past, by turns in
 * one process.
 *
 *   node bench/context/main.ts --model FILE [--depth 4096] [--kv-dtype f32,f16,q8_0] [--threads 2] [--rounds 8]
 *                              [--generate 24] [--other FOLDER] [--json] [--save] [--note TEXT]
 *
 * A token reads all weights, and the keys and values of its past. The past's bytes explain as much time as bytes of weights
 * take: that of a token after a short past, divided by the bytes it reads. With `--other` another checkout takes turns.
 *
 * A shared machine is faster in some minutes than in others. So each round is compared by itself, the median token after a short
 * past with that after a long one, and the median round counts. Whichever side loads first may get slower pages of memory, by
 * some per cent: for small differences run it from the other checkout, too. */
import { basename, resolve } from 'node:path';
import { openBenchModel } from '../../cli/bench/bench-model.ts';
import { bytesPerStep } from '../../cli/bench/memory-traffic.ts';
import { percentile } from '../../cli/statistics.ts';
import type { KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import { Rng } from '../../engine/util/rng.ts';
import { type Checkout, openCheckout, tokenTimes } from '../lib/checkout.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { rounded, saveResults } from '../lib/result-log.ts';

const { values: options } = readFlags(import.meta.filename, {
  model: { type: 'string' },
  depth: { type: 'string', default: '4096' },
  'kv-dtype': { type: 'string', default: 'f32,f16,q8_0' },
  threads: { type: 'string', default: '2' },
  rounds: { type: 'string', default: '8' },
  generate: { type: 'string', default: '24' },
  other: { type: 'string' },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  note: { type: 'string' },
});
if (options.model === undefined) throw new Error('--model is needed');
const model = resolve(options.model);
const [depth, numRounds, numGenerated] = [options.depth, options.rounds, options.generate].map(Number) as [
  number,
  number,
  number,
];
const { report, config } = await openBenchModel(model);

/** Tokens of a past that costs next to nothing. */
const SHORT = 16;

interface Side extends Checkout {
  /** The median ms per token, of each round. */
  readonly rounds: { readonly short: number; readonly long: number }[];
}

async function open(folder: string, kvDtype: KvDType): Promise<Side> {
  const maxModelLen = depth + numGenerated + 1;
  const engineOptions = { numThreads: Number(options.threads), maxModelLen, maxNumSeqs: 1, kvDtype };
  return { ...(await openCheckout(folder, model, engineOptions)), rounds: [] };
}

const rng = Rng.fromSeed(1);
const past = Array.from({ length: depth }, () => Math.floor(rng.nextFloat() * config.vocabSize));

/** @returns ms of the median token but the first, which comes after the prompt */
async function medianToken({ engine }: Side, numBefore: number): Promise<number> {
  const [, ...times] = await tokenTimes(engine, past.slice(0, numBefore), numGenerated + 1);
  return median(times);
}

const median = (values: readonly number[]): number => percentile(values, 50);

async function measure(kvDtype: KvDType): Promise<void> {
  const sides = [
    await open('.', kvDtype),
    ...(options.other === undefined ? [] : [await open(options.other, kvDtype)]),
  ];
  for (let round = -1; round < numRounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const [short, long] = [await medianToken(side, SHORT), await medianToken(side, depth)];
      // The first round computes the long past, which the prefix cache holds from then on.
      if (round >= 0) side.rounds.push({ short, long });
    }
  }
  const bytesAt = (depthOfTest: number): number =>
    bytesPerStep(report, config, {
      kvDtype,
      test: { kind: 'tg', numTokens: numGenerated, batch: 1, depth: depthOfTest },
    });
  const bytesExplain = (bytesAt(depth) - bytesAt(SHORT)) / bytesAt(SHORT);
  for (const { commit, rounds } of sides) {
    const each = rounds.map(({ short, long }) => ({
      short,
      long,
      cost: long - short,
      explained: short * bytesExplain,
    }));
    const middle = (figure: (round: (typeof each)[number]) => number) => rounded(median(each.map(figure)));
    show(kvDtype, commit, {
      short: middle(({ short }) => short),
      long: middle(({ long }) => long),
      cost: middle(({ cost }) => cost),
      explained: middle(({ explained }) => explained),
      ratio: middle(({ cost, explained }) => cost / explained),
    });
  }
  for (const { engine } of sides) await engine.close();
}

/** `ratio` is the median of cost / explained, not the ratio of their medians. */
type Figures = Readonly<Record<'short' | 'long' | 'cost' | 'explained' | 'ratio', number>>;

const records: object[] = [];

function show(kvDtype: KvDType, commit: string, ms: Figures): void {
  const sizes = { model: basename(model), threads: Number(options.threads), depth, kvDtype, numRounds, numGenerated };
  const record = { benchmark: 'context', ...describeMachine(), commit, ...sizes, note: options.note, ms };
  records.push(record);
  const { short, long, cost, explained, ratio } = ms;
  console.log(
    options.json
      ? JSON.stringify(record)
      : `${commit} ${kvDtype.padEnd(4)}  a token ${short.toFixed(2)} ms, after ${depth} ${long.toFixed(2)}: ` +
          `${cost.toFixed(2)} more, of which bytes explain ${explained.toFixed(2)}; ratio ${ratio.toFixed(2)}`,
  );
}

for (const kvDtype of options['kv-dtype'].split(',')) await measure(kvDtype as KvDType);
if (options.save) console.log(saveResults('context', records));
