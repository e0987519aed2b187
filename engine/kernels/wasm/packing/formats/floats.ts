/** F32, F16 and BF16: nothing but elements. */
import type { FloatDType } from '../../../../tensor/dtype.ts';
import { readF16 } from '../../../../tensor/float16.ts';
import { GROUP_ROWS } from '../../generators/matmul-tile.ts';
import { FLOAT_ACTIVATIONS, type FloatLayout, PRESCALED_ACTIVATIONS } from '../activation-layout.ts';
import { type PackedFormat, placeOf } from '../packed-format.ts';
import { F32_RECORD, type FloatRecord, HALF_RECORD } from '../record-layout.ts';

export const f32 = floatFormat('f32', F32_RECORD, FLOAT_ACTIVATIONS, (bytes, start, out, outStart, count) => {
  const [from, to] = [new Int32Array(bytes.buffer, bytes.byteOffset + start), bitsOf(out)];
  for (let k = 0; k < count; k++) to[outStart + k] = from[k * GROUP_ROWS]!;
});

export const f16 = floatFormat('f16', HALF_RECORD, PRESCALED_ACTIVATIONS, (bytes, start, out, outStart, count) => {
  for (let k = 0, at = start; k < count; k++, at += 2 * GROUP_ROWS) out[outStart + k] = readF16(bytes, at);
});

export const bf16 = floatFormat('bf16', HALF_RECORD, FLOAT_ACTIVATIONS, (bytes, start, out, outStart, count) => {
  const to = bitsOf(out);
  for (let k = 0, at = start; k < count; k++, at += 2 * GROUP_ROWS) {
    to[outStart + k] = (bytes[at]! << 16) | (bytes[at + 1]! << 24);
  }
});

/** @param readStrided  widens `count` elements, one of every 8 from byte `start` on, into `out` from `outStart` */
function floatFormat(
  dtype: FloatDType,
  record: FloatRecord,
  activations: FloatLayout,
  readStrided: (bytes: Uint8Array, start: number, out: Float32Array, outStart: number, count: number) => void,
): PackedFormat {
  const size = record.bytesPerElement;
  const format: PackedFormat = {
    dtype,
    record,
    activations,
    pairs: 'always',
    packRow: (kernels, source, group, row, rowLength) =>
      kernels[`pack_${dtype}`]!(source, group + row * size, rowLength) === 0,
    readRow: (bytes, group, row, out, outStart, rowLength) =>
      readStrided(bytes, group + row * size, out, outStart, rowLength),
    packActivations({ kernels, memory }, run) {
      const { start, recordBytes } = placeOf(format, run);
      const numFull = Math.min(run.count, Math.floor(run.numValues / record.blockK));
      kernels.spread_f32!(run.x, start, recordBytes, numFull, activations.scale);
      if (numFull === run.count) return;
      // Past K the weights are zeros, but 0 times what was left there may be NaN.
      const last = (start + numFull * recordBytes) / 4;
      memory.floats.fill(0, last, last + record.blockK);
      for (let k = numFull * record.blockK; k < run.numValues; k++) {
        memory.floats[last + (k % record.blockK)] = memory.floats[run.x / 4 + k]! * activations.scale;
      }
    },
  };
  return format;
}

const bitsOf = (values: Float32Array): Int32Array => new Int32Array(values.buffer, values.byteOffset, values.length);
