/** The weight formats that have kernels: how each packs its rows, reads one back, and wants its activations (law 6). */
import type { FloatDType } from '../../../tensor/dtype.ts';
import { f16ToF32 } from '../../../tensor/float16.ts';
import { HALF_PRESCALE } from '../generators/half-floats.ts';
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { Kernels } from '../kernel-module.ts';
import type { Machine } from '../machine.ts';
import {
  type ActivationLayout,
  activationScaleOffset,
  activationSumOffset,
  FLOAT_ACTIVATIONS,
  Q4_ACTIVATIONS,
  Q8_ACTIVATIONS,
} from './activation-layout.ts';
import { F32_RECORD, type FloatRecord, HALF_RECORD, Q4_RECORD, Q8_RECORD, type RecordLayout } from './record-layout.ts';

/** Where a run of one token's activations goes: records `first` to `first + count` - 1 of its tile. */
export interface ActivationRun {
  /** Address of the run's first value, f32. */
  readonly x: number;
  /** Values from there to the row's end. */
  readonly numValues: number;
  /** Address of the tile's record `first`. */
  readonly record: number;
  /** Records. */
  readonly count: number;
  /** Tokens in the tile, and which of them this is. */
  readonly tokens: number;
  readonly token: number;
}

export interface PackedFormat {
  readonly dtype: FloatDType;
  readonly record: RecordLayout;
  readonly activations: ActivationLayout;
  /** Packs row `row` (0 to 7) of a group from `source`. False when it holds what a kernel cannot take (see half-floats). */
  packRow(kernels: Kernels, source: number, group: number, row: number, rowLength: number): boolean;
  /** Dequantizes row `row` of the group at `group` into `out`, from `outStart`: the values the file's bytes stand for. */
  readRow(bytes: Uint8Array, group: number, row: number, out: Float32Array, outStart: number, rowLength: number): void;
  packActivations(machine: Machine, run: ActivationRun): void;
}

/** Bytes of a group of 8 rows. */
export function groupBytes({ record }: PackedFormat, rowLength: number): number {
  return Math.ceil(rowLength / record.blockK) * record.byteLength;
}

export function packedByteLength(format: PackedFormat, numRows: number, rowLength: number): number {
  return Math.ceil(numRows / GROUP_ROWS) * groupBytes(format, rowLength);
}

const q8: PackedFormat = {
  dtype: 'q8_0',
  record: Q8_RECORD,
  activations: Q8_ACTIVATIONS,
  packRow: (kernels, source, group, row, rowLength) =>
    kernels.pack_q8_0!(source, group + 2 * row, group + Q8_RECORD.scalesOffset + 2 * row, rowLength / 32) === 0,
  readRow(bytes, group, row, out, outStart, rowLength) {
    for (let k = 0, record = group; k < rowLength; k += 32, record += Q8_RECORD.byteLength) {
      const scale = readF16(bytes, record + Q8_RECORD.scalesOffset + 2 * row);
      for (let j = 0; j < 32; j++) {
        const level = bytes[record + (j >> 1) * Q8_RECORD.bytesPerChunk + 2 * row + (j & 1)]!;
        out[outStart + k + j] = ((level << 24) >> 24) * scale;
      }
    }
  },
  packActivations({ kernels }, { x, record, count, tokens, token }) {
    const levels = record + token * Q8_ACTIVATIONS.levelBytes;
    const scale = record + activationScaleOffset(Q8_ACTIVATIONS, tokens, token);
    kernels.quantize_i16!(x, levels, scale, tokens * Q8_ACTIVATIONS.bytesPerToken, count);
  },
};

const q4: PackedFormat = {
  dtype: 'q4_0',
  record: Q4_RECORD,
  activations: Q4_ACTIVATIONS,
  packRow: (kernels, source, group, row, rowLength) =>
    kernels.pack_q4_0!(source, group + 4 * row, group + Q4_RECORD.scalesOffset + 2 * row, rowLength / 32) === 0,
  readRow(bytes, group, row, out, outStart, rowLength) {
    for (let k = 0, record = group; k < rowLength; k += 32, record += Q4_RECORD.byteLength) {
      const scale = readF16(bytes, record + Q4_RECORD.scalesOffset + 2 * row);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[record + (j >> 2) * Q4_RECORD.bytesPerChunk + 4 * row + (j & 3)]!;
        out[outStart + k + j] = ((pair & 15) - 8) * scale;
        out[outStart + k + 16 + j] = ((pair >> 4) - 8) * scale;
      }
    }
  },
  packActivations({ kernels }, { x, record, count, tokens, token }) {
    const levels = record + token * Q4_ACTIVATIONS.levelBytes;
    const scale = record + activationScaleOffset(Q4_ACTIVATIONS, tokens, token);
    const sum = record + activationSumOffset(Q4_ACTIVATIONS, tokens, token);
    kernels.quantize_i8!(x, levels, scale, tokens * Q4_ACTIVATIONS.bytesPerToken, count, sum);
  },
};

const f32 = floatFormat('f32', F32_RECORD, 1, (bytes, start, out, outStart, count) => {
  const [from, to] = [new Int32Array(bytes.buffer, bytes.byteOffset + start), bitsOf(out)];
  for (let k = 0; k < count; k++) to[outStart + k] = from[k * GROUP_ROWS]!;
});

const f16 = floatFormat('f16', HALF_RECORD, HALF_PRESCALE, (bytes, start, out, outStart, count) => {
  for (let k = 0, at = start; k < count; k++, at += 2 * GROUP_ROWS) out[outStart + k] = readF16(bytes, at);
});

const bf16 = floatFormat('bf16', HALF_RECORD, 1, (bytes, start, out, outStart, count) => {
  const to = bitsOf(out);
  for (let k = 0, at = start; k < count; k++, at += 2 * GROUP_ROWS) {
    to[outStart + k] = (bytes[at]! << 16) | (bytes[at + 1]! << 24);
  }
});

/** @param readStrided  widens `count` elements, one of every 8 from byte `start` on, into `out` from `outStart` */
function floatFormat(
  dtype: FloatDType,
  record: FloatRecord,
  prescale: number,
  readStrided: (bytes: Uint8Array, start: number, out: Float32Array, outStart: number, count: number) => void,
): PackedFormat {
  const size = record.bytesPerElement;
  return {
    dtype,
    record,
    activations: FLOAT_ACTIVATIONS,
    packRow: (kernels, source, group, row, rowLength) =>
      kernels[`pack_${dtype}`]!(source, group + row * size, rowLength) === 0,
    readRow: (bytes, group, row, out, outStart, rowLength) =>
      readStrided(bytes, group + row * size, out, outStart, rowLength),
    packActivations({ kernels, memory }, { x, numValues, record: start, count, tokens, token }) {
      const first = start + token * 4;
      const numHere = Math.min(count * record.blockK, numValues);
      kernels.spread_f32!(x, first, tokens * 4, numHere, prescale);
      // Past K the weights are zeros, but 0 times what was left there may be NaN.
      for (let k = numHere; k < count * record.blockK; k++) memory.floats[first / 4 + k * tokens] = 0;
    },
  };
}

const bitsOf = (values: Float32Array): Int32Array => new Int32Array(values.buffer, values.byteOffset, values.length);

function readF16(bytes: Uint8Array, byteOffset: number): number {
  return f16ToF32(bytes[byteOffset]! | (bytes[byteOffset + 1]! << 8));
}

const PACKED_FORMATS: readonly PackedFormat[] = [q8, q4, f32, f16, bf16];

/** The format with kernels for a dtype, if there is one. */
export function packedFormat(dtype: string): PackedFormat | undefined {
  return PACKED_FORMATS.find((format) => format.dtype === dtype);
}
