/** Q4_0 weights times activations rounded to 8 bits, in whole numbers.
 *
 *   weight = weightScale * (level - 8), level 0 to 15;  x = unit * factor * xLevel  (quantize-q4.ts), so
 *   out = unit * sum over blocks of  weightScale * (factor * sum over 32 k of level * xLevel  -  8 * factor * sum of xLevel)
 *
 * The second product is the same for all weight rows and comes with the activations. Sums of products stay in 16 bits over
 * the whole block: 32 k are 16 pairs, but each lane takes 4 k per chunk in two lanes of 16 bits, so a lane adds
 * 16 products of at most 15 * 127 = 30480. Two of those times a factor stay in 32 bits. */
import type { Statement } from '../emitter/code.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { Q4_ACTIVATIONS, scaleOffset, sumsOffset, unitOffset } from '../packing/activation-layout.ts';
import { Q4_RECORD } from '../packing/record-layout.ts';
import { dotSmallBytes, multiplyAdd } from './arithmetic.ts';
import { HALF_POSTSCALE, loadF16x4 } from './half-floats.ts';
import type { TileContext, TileFormat } from './matmul-tile.ts';

export const matmulQ4: TileFormat = {
  name: 'q4_0',
  weightRecordBytes: Q4_RECORD.byteLength,
  activationBytes: Q4_ACTIVATIONS.bytesPerToken,
  groups: [1, 2],
  unpacking: { groups: 2, minTokens: 160 },
  postscale: HALF_POSTSCALE,
  unitOffset: unitOffset(Q4_ACTIVATIONS),
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
  const bytes = fn.locals('v128', numHalves);
  const levels = fn.locals('v128', numHalves);
  const scales = fn.locals('v128', numHalves);
  const dots = Array.from({ length: tokens }, () => fn.locals('v128', numHalves));
  const [four, eightSums, factor] = [shared(), shared(), shared()];
  const nibble = fn.constant(i8x16.splat(15));
  const code: Statement[] = [];

  // Eight k at a time: low nibbles are k = 4c to 4c + 3 of each row, high nibbles k = 16 + 4c to 16 + 4c + 3.
  for (let chunk = 0; chunk < Q4_RECORD.numChunks; chunk++) {
    const byteOffset = (h: number) => chunk * Q4_RECORD.bytesPerChunk + (h % 2) * 16;
    code.push(...vectors.prepare(halves.map((h) => bytes[h]!.set(v128.load(weightOf(h), byteOffset(h))))));
    for (const [shift, firstK] of [
      [0, 4 * chunk],
      [4, 16 + 4 * chunk],
    ] as const) {
      code.push(...vectors.take(levels, (h) => v128.and(shift === 0 ? bytes[h]! : i16x8.shrU(bytes[h]!, 4), nibble)));
      for (let m = 0; m < tokens; m++) {
        code.push(...four.set(v128.load32Splat(xOf(m), firstK)));
        for (const h of halves) {
          const dot = dotSmallBytes(features, four.of(h), levels[h]!);
          code.push(dots[m]![h]!.set(firstK === 0 ? dot : i16x8.add(dots[m]![h]!, dot)));
        }
      }
    }
  }
  code.push(...vectors.take(scales, (h) => loadF16x4(fn, weightOf(h), Q4_RECORD.scalesOffset + (h % 2) * 8)));
  for (let m = 0; m < tokens; m++) {
    code.push(...eightSums.set(v128.load32Splat(xOf(m), sumsOffset(Q4_ACTIVATIONS))));
    code.push(...factor.set(v128.load32Splat(xOf(m), scaleOffset(Q4_ACTIVATIONS))));
    for (const h of halves) {
      const dot = f32x4.convertI32x4S(i32x4.sub(i32x4.dotI16x8S(dots[m]![h]!, factor.of(h)), eightSums.of(h)));
      code.push(sums[m]![h]!.set(multiplyAdd(features, dot, scales[h]!, sums[m]![h]!)));
    }
  }
  return code;
}
