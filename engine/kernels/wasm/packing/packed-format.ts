/** What a weight format with kernels provides: how it packs its rows, reads one back, and wants its activations (law 6).
 * The formats are in formats/, one file each kind; format-registry.ts lists them. */
import type { FloatDType } from '../../../tensor/dtype.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import type { Features } from '../generators/arithmetic.ts';
import { GROUP_ROWS, type TileFormat, type Unpacking, unpackedRecordBytes } from '../generators/matmul-tile.ts';
import type { Kernels } from '../kernel-module.ts';
import type { Machine } from '../machine.ts';
import type { ActivationLayout } from './activation-layout.ts';
import type { RecordLayout } from './record-layout.ts';

/** One token's activations, and where they go. */
export interface ActivationRow {
  /** Address of the first value, f32. */
  readonly x: number;
  /** Values. */
  readonly length: number;
  /** Address of the tile's first record. */
  readonly tile: number;
  /** Tokens in the tile, and which of them this is. */
  readonly tokens: number;
  readonly token: number;
}

/** Where the token's part of the first record lies, and the bytes from one record to the next. */
export function placeOf({ activations }: PackedFormat, { tile, tokens, token }: ActivationRow) {
  return { start: tile + token * activations.bytesPerToken, recordBytes: tokens * activations.bytesPerToken };
}

/** Weights with all levels and scales as vectors (generators/weight-vectors.ts). */
export interface UnpackedFormat extends Unpacking {
  readonly recordBytes: number;
}

export function unpackedFormat(tile: TileFormat): UnpackedFormat {
  let recordBytes: number | undefined;
  return {
    ...tile.unpacking!,
    // A kernel is generated to learn it: not for formats that nobody uses, and not while threads load their code.
    get recordBytes() {
      recordBytes ??= unpackedRecordBytes(tile);
      return recordBytes;
    },
  };
}

export interface PackedFormat {
  readonly dtype: FloatDType;
  readonly record: RecordLayout;
  readonly activations: ActivationLayout;
  /** When two groups of rows go side by side, sharing the loads of activations: never, where registers do not hold the
   * sums of a full tile; only for weights in the cache, as memory is fastest when read as one stream; or always, where a
   * lone group would wait for its own chain of multiply-adds. */
  readonly pairs: 'never' | 'cached' | 'always';
  /** Where panels of weights are unpacked for many tokens. */
  readonly unpacked?: UnpackedFormat;
  /** All that are about this format: tiles, packing rows, packing activations. */
  readonly kernels: (features: Features) => readonly FunctionBuilder[];
  /** Packs `length` elements of row `row` (0 to 7) of a group from `source` into its records from `group` on. False when
   * they hold what a kernel cannot take (see half-floats). */
  packRow(kernels: Kernels, source: number, group: number, row: number, length: number): boolean;
  /** Dequantizes as many into `out`, from `outStart`: the values the file's bytes stand for. */
  readRow(bytes: Uint8Array, group: number, row: number, out: Float32Array, outStart: number, length: number): void;
  packActivations(machine: Machine, row: ActivationRow): void;
}

/** Bytes of a group of 8 rows. */
export function groupBytes({ record }: PackedFormat, rowLength: number): number {
  return Math.ceil(rowLength / record.blockK) * record.byteLength;
}

export function packedByteLength(format: PackedFormat, numRows: number, rowLength: number): number {
  const rowsAtOnce = format.record.pairStep === undefined ? GROUP_ROWS : 2 * GROUP_ROWS;
  return Math.ceil(numRows / rowsAtOnce) * (rowsAtOnce / GROUP_ROWS) * groupBytes(format, rowLength);
}
