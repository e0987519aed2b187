/** F32, F16 and BF16: nothing but elements. */
import type { FloatDType } from '../../../../tensor/dtype.ts';
import { readF16 } from '../../../../tensor/float16.ts';
import type { FunctionBuilder } from '../../emitter/function-builder.ts';
import { matmulBf16, matmulF16, matmulF32 } from '../../generators/matmul-float.ts';
import { GROUP_ROWS, type TileFormat } from '../../generators/matmul-tile.ts';
import { spreadFloats } from '../../generators/pack-activations.ts';
import { packBf16Row, packF16Row, packF32Row } from '../../generators/pack-weights.ts';
import { FLOAT_ACTIVATIONS, type FloatLayout, PRESCALED_ACTIVATIONS } from '../activation-layout.ts';
import { type PackedFormat, placeOf } from '../packed-format.ts';
import { F32_RECORD, type FloatRecord, HALF_RECORD } from '../record-layout.ts';
import { tileKernels } from '../tile-kernels.ts';

const F32: FloatParts = {
  dtype: 'f32',
  record: F32_RECORD,
  activations: FLOAT_ACTIVATIONS,
  tile: matmulF32,
  packKernel: packF32Row,
};
const F16: FloatParts = {
  dtype: 'f16',
  record: HALF_RECORD,
  activations: PRESCALED_ACTIVATIONS,
  tile: matmulF16,
  packKernel: packF16Row,
};
const BF16: FloatParts = {
  dtype: 'bf16',
  record: HALF_RECORD,
  activations: FLOAT_ACTIVATIONS,
  tile: matmulBf16,
  packKernel: packBf16Row,
};

export const f32 = floatFormat(F32, (bytes, start, out, outStart, count) => {
  const [from, to] = [new Int32Array(bytes.buffer, bytes.byteOffset + start), bitsOf(out)];
  for (let k = 0; k < count; k++) to[outStart + k] = from[k * GROUP_ROWS]!;
});

/** From an element of a half-float row to the next: those of two groups lie between. */
const HALF_STEP = 2 * (2 * GROUP_ROWS);

export const f16 = floatFormat(F16, (bytes, start, out, outStart, count) => {
  for (let k = 0, at = start; k < count; k++, at += HALF_STEP) out[outStart + k] = readF16(bytes, at);
});

export const bf16 = floatFormat(BF16, (bytes, start, out, outStart, count) => {
  const to = bitsOf(out);
  for (let k = 0, at = start; k < count; k++, at += HALF_STEP) {
    to[outStart + k] = (bytes[at]! << 16) | (bytes[at + 1]! << 24);
  }
});

interface FloatParts {
  readonly dtype: FloatDType;
  readonly record: FloatRecord;
  readonly activations: FloatLayout;
  readonly tile: TileFormat;
  readonly packKernel: () => FunctionBuilder;
}

/** @param readStrided  widens `count` elements, one of every 8 (of every 16) from byte `start` on, into `out` from `outStart` */
function floatFormat(
  { dtype, record, activations, tile, packKernel }: FloatParts,
  readStrided: (bytes: Uint8Array, start: number, out: Float32Array, outStart: number, count: number) => void,
): PackedFormat {
  const size = record.bytesPerElement;
  const format: PackedFormat = {
    dtype,
    record,
    activations,
    pairs: 'always',
    kernels: (features) => [...tileKernels(tile, features), packKernel(), spreadFloats()],
    packRow: (kernels, source, group, row, rowLength) =>
      kernels[`pack_${dtype}`]!(source, group + row * size, rowLength) === 0,
    readRow: (bytes, group, row, out, outStart, rowLength) =>
      readStrided(bytes, group + row * size, out, outStart, rowLength),
    packActivations({ kernels, memory }, row) {
      const { start, recordBytes } = placeOf(format, row);
      const numFull = Math.floor(row.length / record.blockK);
      const firstLeft = numFull * record.blockK;
      kernels.spread_f32!(row.x, start, recordBytes, numFull, activations.scale);
      if (firstLeft === row.length) return;
      // Past K the weights are zeros, but 0 times what was left there may be NaN.
      const last = (start + numFull * recordBytes) / 4;
      memory.floats.fill(0, last, last + record.blockK);
      for (let k = firstLeft; k < row.length; k++) {
        memory.floats[last + k - firstLeft] = memory.floats[row.x / 4 + k]! * activations.scale;
      }
    },
  };
  return format;
}

const bitsOf = (values: Float32Array): Int32Array => new Int32Array(values.buffer, values.byteOffset, values.length);
