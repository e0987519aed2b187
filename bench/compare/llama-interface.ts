/** Measures node-llama-cpp as its documentation says to use it: sequences evaluated in parallel, greedy sampling, tokens
 * read from async iterables. */
import type { BenchTest } from '../../cli/bench/bench-test.ts';
import type { LlamaPrompt } from './llama-prompt.ts';
import type { LlamaSequence } from './node-llama-cpp.ts';

/** Random models end texts anywhere; the measurement must not. */
const GREEDY = { temperature: 0, yieldEogToken: true };

/** pp: from the prompt to the first token after it. tg: from the moment when every sequence has its first token.
 * @returns tokens per second
 * @throws Error when a sequence ends early */
export async function measureByInterface(
  sequences: readonly LlamaSequence[],
  { kind, numTokens, batch, depth }: BenchTest,
  prompts: readonly LlamaPrompt[],
): Promise<number> {
  for (const [i, sequence] of sequences.entries()) await rewind(sequence, prompts[i]!.prefix, depth);
  let startMs = performance.now();
  let numStarted = 0;
  const onFirst = (): void => {
    if (kind === 'tg' && ++numStarted === batch) startMs = performance.now();
  };
  const numWanted = kind === 'pp' ? 1 : numTokens + 1;
  await Promise.all(sequences.map((sequence, i) => generate(sequence, prompts[i]!.own, numWanted, onFirst)));
  return (batch * numTokens * 1000) / (performance.now() - startMs);
}

/** Leaves the first `depth` tokens in the KV cache. */
async function rewind(sequence: LlamaSequence, prefix: readonly number[], depth: number): Promise<void> {
  await sequence.eraseContextTokenRanges([{ start: 0, end: sequence.nextTokenIndex }]);
  if (depth > 0) await sequence.evaluateWithoutGeneratingNewTokens(prefix);
}

async function generate(
  sequence: LlamaSequence,
  prompt: readonly number[],
  numWanted: number,
  onFirst: () => void,
): Promise<void> {
  let count = 0;
  for await (const _ of sequence.evaluate(prompt, GREEDY)) {
    if (++count === 1) onFirst();
    if (count === numWanted) return;
  }
  throw new Error(`a sequence ended after ${count} of ${numWanted} tokens`);
}
