/** Law 2 on one backend: what else is in the batch, how a prompt is cut into chunks, and where its pages lie change no
 * bit of a result. Properties; the caller asserts them. */
import fc from 'fast-check';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { DType } from '../../engine/tensor/dtype.ts';
import { numTokens, randomValues, randomWeightBytes, seed, size, weightRow } from '../helpers/arbitraries-kernels.ts';
import { attentionConfig, blockSize, stale } from './attention-cases.ts';
import { findBitDifference } from './compare.ts';
import { type Chunk, PagedSequences, randomSequence } from './paged-sequences.ts';
import { withWorkspace } from './workspace.ts';

/** Throws unless all bits are equal. */
function expectSameBits(what: string, actual: Float32Array, expected: Float32Array): void {
  const difference = findBitDifference(actual, expected);
  if (difference !== undefined) throw new Error(`${what}: ${difference}`);
}

/** A token's row of a matmul is the same alone and in a batch. */
export function matmulBatchInvariance(backend: KernelBackend, isWanted: (dtype: DType) => boolean = () => true) {
  const weight = weightRow().filter(({ dtype }) => isWanted(dtype));
  const parameters = fc.record({ T: numTokens(), N: size(), weight, seed: seed() });
  return fc.asyncProperty(parameters, async ({ T, N, weight: { dtype, rowLength }, seed }) => {
    await withWorkspace(backend, async (work) => {
      const weight = await work.weight(dtype, [N, rowLength], randomWeightBytes(dtype, seed, N * rowLength));
      const values = randomValues(seed + 1, T * rowLength);
      const batch = work.output([T, N]);
      work.run('matmul', { x: work.floats([T, rowLength], values), weight, out: batch });
      const together = await work.read(batch);
      for (let t = 0; t < T; t++) {
        const alone = work.output([1, N]);
        const x = work.floats([1, rowLength], values.slice(t * rowLength, (t + 1) * rowLength));
        work.run('matmul', { x, weight, out: alone });
        expectSameBits(`row ${t} of ${T}`, together.slice(t * N, (t + 1) * N), await work.read(alone));
      }
    });
  });
}

/** A sequence's attention is the same alone in one piece as in a batch, in chunks, in other pages of another size. */
export function attentionInvariance(backend: KernelBackend, isWanted: (dtype: DType) => boolean = () => true) {
  const parameters = fc.record({
    config: attentionConfig().filter(({ kvDtype }) => isWanted(kvDtype)),
    lengths: fc.oneof(
      { weight: 7, arbitrary: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 3 }) },
      // Long enough for several steps of an online softmax.
      { weight: 1, arbitrary: fc.tuple(fc.integer({ min: 60, max: 150 })) },
    ),
    chunkSizes: fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(40, 70)), {
      minLength: 1,
      maxLength: 5,
    }),
    blockSizes: fc.tuple(blockSize(), blockSize()),
    stale: fc.tuple(stale(), stale()),
    seed: seed(),
  });
  return fc.asyncProperty(parameters, async ({ config, lengths, chunkSizes, blockSizes, stale, seed }) => {
    await withWorkspace(backend, async (work) => {
      const sequences = lengths.map((length, i) => randomSequence(config, length, seed + 10 * i));

      const paged = new PagedSequences(work, config, sequences, {
        blockSize: blockSizes[0],
        stale: stale[0],
        seed,
      });
      const together: number[][] = lengths.map(() => []);
      for (const step of stepsOf(lengths, chunkSizes)) {
        const outs = await paged.step(step);
        step.forEach(({ sequence }, i) => {
          together[sequence]!.push(...outs[i]!);
        });
      }

      for (const [i, sequence] of sequences.entries()) {
        const single = new PagedSequences(work, config, [sequence], {
          blockSize: blockSizes[1],
          stale: stale[1],
          seed: seed + 1,
        });
        const [alone] = await single.step([{ sequence: 0, from: 0, to: sequence.length }]);
        expectSameBits(`sequence ${i}`, Float32Array.from(together[i]!), alone!);
      }
    });
  });
}

/** Steps that bring all sequences to their ends; each chunk takes the next of `chunkSizes`, round and round. */
function stepsOf(lengths: readonly number[], chunkSizes: readonly number[]): Chunk[][] {
  const computed = lengths.map(() => 0);
  const steps: Chunk[][] = [];
  let next = 0;
  while (computed.some((count, i) => count < lengths[i]!)) {
    const step: Chunk[] = [];
    for (const [sequence, length] of lengths.entries()) {
      const from = computed[sequence]!;
      if (from === length) continue;
      const to = Math.min(length, from + chunkSizes[next++ % chunkSizes.length]!);
      step.push({ sequence, from, to });
      computed[sequence] = to;
    }
    steps.push(step);
  }
  return steps;
}
