/** softmaxSums: one workgroup per query and segment of the vocabulary; see `softmax-sums-code.ts` for the arithmetic. */
import { checkIndices } from '../../check-indices.ts';
import type { OpArgs } from '../../ops.ts';
import { checkInts, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { MAX_QUERIES, SOFTMAX_SUMS_CODE } from './softmax-sums-code.ts';

export function softmaxSums(context: OpContext, args: OpArgs['softmaxSums']): void {
  const { memory, recorder, library } = context;
  const { logits, rows, temperatures, segmentSize, out } = args;
  const [numRows, vocabSize] = logits.shape as [number, number];
  const [numQueries, numSegments] = out.shape as [number, number];
  checkInts(context, rows, (ints) => checkIndices('softmaxSums rows', ints, numRows));
  const [values, indices, output] = [memory.bind(logits), memory.bind(rows), memory.bind(out)];
  const kernel = library.get('softmaxSums', () => ({
    bindings: ['uniform', 'read', 'read', 'read_write'],
    code: SOFTMAX_SUMS_CODE,
  }));
  for (let first = 0; first < numQueries; first += MAX_QUERIES) {
    const count = Math.min(MAX_QUERIES, numQueries - first);
    const sizes = [
      ...[count * numSegments, numSegments, segmentSize, vocabSize, values.wordOffset],
      ...[indices.wordOffset + first, output.wordOffset + 3 * first * numSegments, 0],
    ];
    const queries = Array.from({ length: MAX_QUERIES }, (_, i) => queryParams(temperatures[first + i] ?? 1)).flat();
    recorder.dispatch(kernel, {
      params: packParams([...sizes, ...queries]),
      storage: [values, indices, output],
      workgroups: flatGrid(count * numSegments),
    });
  }
}

/** (m - logit) / T beyond which a term is less than 2^-63. */
const FARTHEST = 45;

const MAX_F32 = 3e38;

/** What the kernel is told of a temperature: 1 / T = f * 2^s, as f * 2^63 in two words, and s; and how far below the largest
 * logit a logit counts, in quarters. */
function queryParams(temperature: number): readonly [number, number, number, number] {
  const reciprocal = 1 / temperature;
  let s = Math.floor(Math.log2(reciprocal));
  // A logarithm may fall to the other side of a whole number.
  while (reciprocal / 2 ** s >= 2) s++;
  while (reciprocal / 2 ** s < 1) s--;
  const f = BigInt(Math.round((reciprocal / 2 ** s) * 2 ** 52)) << 11n;
  const limit = new Uint32Array(Float32Array.of(Math.min(MAX_F32, (FARTHEST / 4) * temperature)).buffer)[0]!;
  return [Number(f & 0xffff_ffffn), Number(f >> 32n), s, limit];
}
