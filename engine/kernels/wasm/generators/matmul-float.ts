/** F32, F16 and BF16 weights times f32 activations: one multiply-add per element, no quantization anywhere. */
import type { I32, Statement, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { v128 } from '../emitter/simd.ts';
import { FLOAT_ACTIVATIONS } from '../packing/activation-layout.ts';
import { F32_RECORD, type FloatRecord, HALF_RECORD } from '../packing/record-layout.ts';
import { multiplyAdd } from './arithmetic.ts';
import { HALF_POSTSCALE, loadBf16x4, loadF16x4, loadF32x4 } from './half-floats.ts';
import type { TileContext, TileFormat } from './matmul-tile.ts';

type LoadFour = (fn: FunctionBuilder, address: I32, byteOffset: number) => V128;

export const matmulF32: TileFormat = floatFormat('f32', F32_RECORD, loadF32x4, 1);
export const matmulF16: TileFormat = floatFormat('f16', HALF_RECORD, loadF16x4, HALF_POSTSCALE);
export const matmulBf16: TileFormat = floatFormat('bf16', HALF_RECORD, loadBf16x4, 1);

function floatFormat(name: string, record: FloatRecord, loadFour: LoadFour, postscale: number): TileFormat {
  return {
    name,
    weightRecordBytes: record.byteLength,
    activationBytes: FLOAT_ACTIVATIONS.bytesPerToken,
    groups: [1, 2],
    pairStep: record.pairStep,
    postscale,
    emitRecord: (tile) => emitRecord(tile, record, loadFour),
  };
}

function emitRecord(tile: TileContext, record: FloatRecord, loadFour: LoadFour): Statement[] {
  const { fn, features, tokens, numHalves, xOf, weightOf, shared, sums } = tile;
  const halves = Array.from({ length: numHalves }, (_, half) => half);
  const weights = fn.locals('v128', numHalves);
  const value = shared();
  const code: Statement[] = [];
  for (let k = 0; k < record.blockK; k++) {
    for (const h of halves) {
      const row = record.pairStep === undefined ? 8 * k + 4 * (h % 2) : 16 * k + 4 * h;
      const byteOffset = row * record.bytesPerElement;
      code.push(weights[h]!.set(loadFour(fn, weightOf(h), byteOffset)));
    }
    for (let m = 0; m < tokens; m++) {
      code.push(...value.set(v128.load32Splat(xOf(m), k * 4)));
      for (const h of halves) {
        code.push(sums[m]![h]!.set(multiplyAdd(features, weights[h]!, value.of(h), sums[m]![h]!)));
      }
    }
  }
  return code;
}
