/** Two checkouts of Quern on one model, by turns in one process, so that both see the same machine: what a change brought.
 *
 *   node bench/checkouts/main.ts --model FILE --other FOLDER [--this .] [--rounds 20] [--prompt 512]
 *                                [--generate 64] [--threads 2] [--json] [--save] [--note TEXT]
 *
 * A busy machine makes single steps slower, never faster. So the lowest tenth of all tokens' times is compared, and the fastest
 * prompt, besides the medians. Whichever side loads first may get slower pages of memory, by some per cent: for small differences
 * run it from the other checkout, too. */
import { basename, resolve } from 'node:path';
import { percentile } from '../../cli/statistics.ts';
import { Rng } from '../../engine/util/rng.ts';
import { type Checkout, openCheckout, tokenTimes } from '../lib/checkout.ts';
import { readFlags } from '../lib/flags.ts';
import { describeMachine } from '../lib/machine.ts';
import { rounded, saveResults } from '../lib/result-log.ts';

const { values: options } = readFlags(import.meta.filename, {
  model: { type: 'string' },
  other: { type: 'string' },
  this: { type: 'string', default: '.' },
  rounds: { type: 'string', default: '20' },
  prompt: { type: 'string', default: '512' },
  generate: { type: 'string', default: '64' },
  threads: { type: 'string', default: '2' },
  json: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  note: { type: 'string' },
});
if (options.model === undefined || options.other === undefined) throw new Error('--model and --other are needed');
const model = resolve(options.model);
const [numRounds, numPrompt, numGenerated] = [options.rounds, options.prompt, options.generate].map(Number) as [
  number,
  number,
  number,
];

interface Side extends Checkout {
  readonly tokenMs: number[];
  readonly promptMs: number[];
}

/** Tokens of a prompt that is only there to be gone on from. */
const SHORT = 8;

async function open(folder: string): Promise<Side> {
  const maxModelLen = Math.max(numPrompt, numGenerated + SHORT) + 1;
  const engineOptions = { numThreads: Number(options.threads), maxModelLen, enablePrefixCaching: false };
  return { ...(await openCheckout(folder, model, engineOptions)), tokenMs: [], promptMs: [] };
}

const rng = Rng.fromSeed(1);
const randomPrompt = ({ engine }: Side, length: number): number[] =>
  Array.from({ length }, () => Math.floor(rng.nextFloat() * engine.config.vocabSize));

const sides = [await open(options.other), await open(options.this)] as const;
for (let round = -1; round < numRounds; round++) {
  for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
    const [, ...tokens] = await tokenTimes(side.engine, randomPrompt(side, SHORT), numGenerated);
    const [first] = await tokenTimes(side.engine, randomPrompt(side, numPrompt), 1);
    if (round < 0) continue;
    side.tokenMs.push(...tokens);
    side.promptMs.push(first!);
  }
}

const figure = (values: readonly number[], percent: number): number => rounded(percentile(values, percent));
const results = sides.map(({ commit, tokenMs, promptMs }) => ({
  commit,
  tokenMs: { lowestTenth: figure(tokenMs, 10), median: figure(tokenMs, 50) },
  promptMs: { lowest: figure(promptMs, 0), median: figure(promptMs, 50) },
}));
const record = {
  benchmark: 'checkouts',
  ...describeMachine(),
  model: basename(model),
  threads: Number(options.threads),
  numPrompt,
  numGenerated,
  numRounds,
  note: options.note,
  results,
};
if (options.json) console.log(JSON.stringify(record));
else {
  for (const { commit, tokenMs, promptMs } of results) {
    console.log(
      `${commit}   a token ${tokenMs.lowestTenth} ms (median ${tokenMs.median})   ` +
        `a prompt of ${numPrompt} ${promptMs.lowest} ms (median ${promptMs.median})`,
    );
  }
}
if (options.save) console.log(saveResults('checkouts', [record]));
for (const { engine } of sides) await engine.close();
