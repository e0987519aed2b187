/** Small pieces by themselves: (de)quantization, tokenizers, sampling. Usage: `node bench/micro/main.ts [PATTERN] [--json]`.
 * One thread; tinybench warms up and repeats; the median is what to read. */
import { Bench } from 'tinybench';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { openModel } from '../../engine/loader/open-model.ts';
import { Candidates } from '../../engine/sampling/candidates.ts';
import { Sampler } from '../../engine/sampling/sampler.ts';
import { resolveSamplingParams } from '../../engine/sampling/sampling-params.ts';
import { FLOAT_DTYPES } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { Rng } from '../../engine/util/rng.ts';
import { readFlags } from '../lib/flags.ts';

/** What one call works on, so that a rate can be given. */
interface Work {
  readonly unit: string;
  readonly count: number;
}

const NUM_VALUES = 2 ** 18;
const VOCAB_SIZE = 128_256;
const TEXT = 'Once upon a time there was a king who had three sons, and the youngest was called Hans.\n'.repeat(200);

const { values, positionals } = readFlags(
  import.meta.filename,
  { json: { type: 'boolean' } },
  { allowPositionals: true },
);
const pattern = positionals[0] ?? '';
const bench = new Bench({ time: 300, warmupTime: 100 });
const work = new Map<string, Work>();

function add(name: string, unit: Work, run: () => void): void {
  if (!name.includes(pattern)) return;
  work.set(name, unit);
  bench.add(name, run);
}

function addFormats(): void {
  const rng = Rng.fromSeed(1);
  const floats = Float32Array.from({ length: NUM_VALUES }, () => rng.nextFloat() * 2 - 1);
  const unit = { unit: 'M values/s', count: NUM_VALUES / 1e6 };
  for (const dtype of FLOAT_DTYPES) {
    const format = quantFormat(dtype);
    const numBlocks = NUM_VALUES / format.blockSize;
    const bytes = new Uint8Array(numBlocks * format.bytesPerBlock);
    format.quantize?.(floats, 0, bytes, 0, numBlocks);
    const target = new Float32Array(NUM_VALUES);
    add(`dequantize ${dtype}`, unit, () => format.dequantize(bytes, 0, target, 0, numBlocks));
    if (format.quantize !== undefined) {
      add(`quantize ${dtype}`, unit, () => format.quantize?.(floats, 0, bytes, 0, numBlocks));
    }
  }
}

async function addTokenizer(): Promise<void> {
  const model = await openModel(bundledModelPath());
  const tokenizer = await model.readTokenizer();
  await model.close();
  const unit = { unit: 'MB/s', count: Buffer.byteLength(TEXT) / 1e6 };
  const ids = tokenizer.encode(TEXT);
  add('tokenizer encode', unit, () => tokenizer.encode(TEXT));
  add('tokenizer decode', unit, () => tokenizer.decode(ids));
}

function addSampling(): void {
  const rng = Rng.fromSeed(2);
  const logits = Float32Array.from({ length: VOCAB_SIZE }, () => 20 * rng.nextFloat() ** 3);
  const candidates = new Candidates(VOCAB_SIZE);
  const history = { tokenIds: [1, 2, 3], numTokens: 3, numPromptTokens: 1 };
  const options = {
    greedy: { temperature: 0 },
    'top-k 40': { top_k: 40 },
    'top-p 0.95': { top_p: 0.95 },
    'run defaults': { temperature: 0.8, top_k: 40, top_p: 0.95, repetition_penalty: 1.1, repeat_last_n: 64 },
  };
  for (const [name, sampling] of Object.entries(options)) {
    const sampler = new Sampler({ params: resolveSamplingParams(sampling), candidates, seed: 1 });
    add(`sample 128k ${name}`, { unit: 'tokens/s', count: 1 }, () => void sampler.sample(logits, history));
  }
}

addFormats();
await addTokenizer();
addSampling();
await bench.run();

const rows = bench.tasks.flatMap(({ name, result }) => {
  if (!('latency' in result)) return [];
  const { unit, count } = work.get(name)!;
  const rate = (ms: number): number => Number(((count * 1000) / ms).toPrecision(4));
  const { p50, min, max } = result.latency;
  return [{ name, unit, median: rate(p50), best: rate(min), worst: rate(max) }];
});
if (values.json) for (const row of rows) process.stdout.write(`${JSON.stringify({ node: process.version, ...row })}\n`);
else console.table(rows);
