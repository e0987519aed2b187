/** Rounds activations for K-quants: 256 values to 8-bit levels with one scale, and the sums of the levels of each
 * sub-block, as packing/activation-layout.ts has them.
 *
 *   (x, levels, scale, recordBytes, numBlocks, sums) -> ()
 *
 * NaN and infinities come through as in pack-activations.ts. */
import type { Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { largestMagnitude, scaleBy, toLevels } from './pack-activations.ts';

const BLOCK_K = 256;
const MAX_LEVEL = 127;

/** For K32: sums of 32 levels, negated. For K16: sums of 16 levels, times -16. */
export function quantizeToK(subBlockK: 16 | 32): FunctionBuilder {
  const fn = new FunctionBuilder(`quantize_k${subBlockK}`);
  const { x, levels, scale, recordBytes, numBlocks, sums } = fn.params(
    'x',
    'levels',
    'scale',
    'recordBytes',
    'numBlocks',
    'sums',
  );
  const max = fn.local('v128');
  const inverse = fn.local('v128');
  const sixteens = fn.locals('v128', BLOCK_K / 16);
  fn.emit(
    countDown(
      numBlocks,
      ...largestMagnitude(fn, x, BLOCK_K / 4, max),
      ...scaleBy(fn, max, MAX_LEVEL, { scale, inverse }),
      ...sixteens.flatMap((sixteen, i) => {
        const eight = (first: number): V128 =>
          i16x8.narrowI32x4S(toLevels(fn, inverse, x, first), toLevels(fn, inverse, x, first + 1));
        return [
          sixteen.set(i8x16.narrowI16x8S(eight(4 * i), eight(4 * i + 2))),
          v128.store(levels, sixteen, 16 * i),
          // Sums of four levels, one in each 32-bit lane.
          sixteen.set(i32x4.extaddPairwiseI16x8S(i16x8.extaddPairwiseI8x16S(sixteen))),
        ];
      }),
      ...storeSums(fn, sixteens, sums, subBlockK),
      advance(x, BLOCK_K * 4),
      ...[levels, scale, sums].map((pointer) => advance(pointer, recordBytes)),
    ),
  );
  return fn;
}

/** Neighbours are added until a lane holds a sub-block: two vectors of i32 become one of i16, whose neighbours are added. */
function storeSums(
  fn: FunctionBuilder,
  fours: readonly Local<'v128'>[],
  sums: Local<'i32'>,
  subBlockK: 16 | 32,
): Statement[] {
  const zero = fn.constant(i32x4.splat(0));
  const code: Statement[] = [];
  let [lanes, elements] = [fours, 4];
  while (elements < subBlockK) {
    const next: Local<'v128'>[] = [];
    for (let i = 0; i < lanes.length; i += 2) {
      code.push(lanes[i]!.set(i32x4.extaddPairwiseI16x8S(i16x8.narrowI32x4S(lanes[i]!, lanes[i + 1]!))));
      next.push(lanes[i]!);
    }
    [lanes, elements] = [next, 2 * elements];
  }
  const stored = (sum: V128): V128 => i32x4.sub(zero, subBlockK === 16 ? i32x4.shl(sum, 4) : sum);
  for (let i = 0; i < lanes.length; i += 2) {
    code.push(v128.store(sums, i16x8.narrowI32x4S(stored(lanes[i]!), stored(lanes[i + 1]!)), 8 * i));
  }
  return code;
}
