/** Q8_0 weights times activations rounded to 16 bits, in whole numbers.
 *
 *   out = sum over blocks of  weightScale * xScale * sum over 32 k of (weightLevel * xLevel)
 *
 * Sixteen bits for the activations rather than llama.cpp's eight: `i32x4.dot_i16x8_s` takes them at the same speed, it
 * means the same on every machine, and the rounding error falls from 1/254 to 1/65534 of the block's largest value.
 * A block's sum is at most 32 * 128 * 32767 = 2^27: it cannot overflow, and as an f32 loses at most 2^-24 of itself. */
import type { Statement } from '../emitter/code.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { Q8_ACTIVATIONS, scaleOffset } from '../packing/activation-layout.ts';
import { Q8_RECORD } from '../packing/record-layout.ts';
import { multiplyAdd } from './arithmetic.ts';
import { HALF_POSTSCALE, loadF16x4 } from './half-floats.ts';
import type { TileContext, TileFormat } from './matmul-tile.ts';

export const matmulQ8: TileFormat = {
  name: 'q8_0',
  weightRecordBytes: Q8_RECORD.byteLength,
  activationBytes: Q8_ACTIVATIONS.bytesPerToken,
  groups: [1, 2],
  unpacking: { groups: 2, minTokens: 48 },
  postscale: HALF_POSTSCALE,
  emitRecord,
};

function emitRecord({
  fn,
  features,
  tokens,
  numHalves,
  xOf,
  weightOf,
  vectors,
  shared,
  sums,
}: TileContext): Statement[] {
  const halves = Array.from({ length: numHalves }, (_, half) => half);
  const levels = fn.locals('v128', numHalves);
  const [pair, xScale] = [shared(), shared()];
  const scales = fn.locals('v128', numHalves);
  const dots = Array.from({ length: tokens }, () => fn.locals('v128', numHalves));
  const code: Statement[] = [];

  // Two k at a time: levels[h] = rows 4h to 4h + 3, each with k = 2c and 2c + 1, widened to 16 bits.
  for (let chunk = 0; chunk < Q8_RECORD.numChunks; chunk++) {
    const byteOffset = (h: number) => chunk * Q8_RECORD.bytesPerChunk + (h % 2) * 8;
    code.push(...vectors.take(levels, (h) => i16x8.load8x8S(weightOf(h), byteOffset(h))));
    for (let m = 0; m < tokens; m++) {
      code.push(...pair.set(v128.load32Splat(xOf(m), chunk * 4)));
      for (const h of halves) {
        const dot = i32x4.dotI16x8S(levels[h]!, pair.of(h));
        code.push(dots[m]![h]!.set(chunk === 0 ? dot : i32x4.add(dots[m]![h]!, dot)));
      }
    }
  }
  code.push(...vectors.take(scales, (h) => loadF16x4(fn, weightOf(h), Q8_RECORD.scalesOffset + (h % 2) * 8)));
  for (let m = 0; m < tokens; m++) {
    code.push(...xScale.set(v128.load32Splat(xOf(m), scaleOffset(Q8_ACTIVATIONS))));
    for (const h of halves) {
      const dot = f32x4.convertI32x4S(dots[m]![h]!);
      code.push(sums[m]![h]!.set(multiplyAdd(features, dot, f32x4.mul(scales[h]!, xScale.of(h)), sums[m]![h]!)));
    }
  }
  return code;
}
