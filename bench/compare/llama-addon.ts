/** Measures llama.cpp's decode function itself: every call is one batch, nothing is sampled. */
import type { BenchTest } from '../../cli/bench/bench-test.ts';
import type { LlamaPrompt } from './llama-prompt.ts';
import type { AddonContext } from './node-llama-cpp.ts';

/** Any token will do for the next one. */
const NEXT_TOKEN = Uint32Array.of(42);
const LAST = Uint32Array.of(0);

/** @param batchSize  most tokens of one call
 * @returns tokens per second */
export async function measureByAddon(
  context: AddonContext,
  batchSize: number,
  test: BenchTest,
  prompts: readonly LlamaPrompt[],
): Promise<number> {
  const { kind, numTokens, batch, depth } = test;
  for (const [id, { prefix }] of prompts.entries()) {
    context.disposeSequence(id);
    await feed(context, batchSize, { id, position: 0, tokens: prefix });
  }
  if (kind === 'pp') {
    const startMs = performance.now();
    await feed(context, batchSize, { id: 0, position: depth, tokens: prompts[0]!.own });
    return (numTokens * 1000) / (performance.now() - startMs);
  }
  await step(context, batch, depth);
  const startMs = performance.now();
  for (let i = 1; i <= numTokens; i++) await step(context, batch, depth + i);
  return (batch * numTokens * 1000) / (performance.now() - startMs);
}

interface Piece {
  readonly id: number;
  readonly position: number;
  readonly tokens: readonly number[];
}

/** Logits of the last token only, as llama-bench has it. */
async function feed(context: AddonContext, batchSize: number, { id, position, tokens }: Piece): Promise<void> {
  for (let start = 0; start < tokens.length; start += batchSize) {
    const part = Uint32Array.from(tokens.slice(start, start + batchSize));
    const isEnd = start + part.length === tokens.length;
    context.initBatch(part.length);
    context.addToBatch(id, position + start, part, isEnd ? Uint32Array.of(part.length - 1) : new Uint32Array(0));
    await context.decodeBatch();
  }
}

/** One token of each sequence. */
async function step(context: AddonContext, batch: number, position: number): Promise<void> {
  context.initBatch(batch);
  for (let id = 0; id < batch; id++) context.addToBatch(id, position, NEXT_TOKEN, LAST);
  await context.decodeBatch();
}
