/** How kernels read a row of numbers of some dtype: as f32, some elements at a time, exactly what the reference reads.
 * Rows are stored as in a file (tensor/quant). Knows nothing of pages or of what the rows mean. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32x4, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { widenHalves } from './half-floats.ts';

export type RowDType = 'f32' | 'f16' | 'bf16' | 'q8_0';

type Vector = Local<'v128'>;

export interface RowFormat {
  readonly dtype: RowDType;
  /** Elements that share a scale; 1 where there is none. A row is a whole number of them. */
  readonly blockElements: number;
  readonly bytesPerBlock: number;
  /** The scale of the block at `row`, in all lanes; nothing for formats without. */
  loadScale(fn: FunctionBuilder, row: I32, scale: Vector): Statement[];
  /** Four elements each, from element `4 * four` of the block (or, without blocks, of what follows) at `row`. */
  load(fn: FunctionBuilder, reads: readonly Read[]): Statement[];
  /** The single element at `row` to lane 0, for formats without blocks. */
  loadOne?(fn: FunctionBuilder, row: I32, into: Vector): Statement[];
}

/** A vector to be filled. */
export interface Read {
  readonly into: Vector;
  readonly row: I32;
  readonly four: number;
  readonly scale: Vector;
}

const F32: RowFormat = {
  dtype: 'f32',
  blockElements: 1,
  bytesPerBlock: 4,
  loadScale: () => [],
  load: (_fn, reads) => reads.map(({ into, row, four }) => into.set(v128.load(row, 16 * four))),
  loadOne: (_fn, row, into) => [into.set(v128.load32Zero(row))],
};

const F16: RowFormat = {
  dtype: 'f16',
  blockElements: 1,
  bytesPerBlock: 2,
  loadScale: () => [],
  load: (fn, reads) => [
    ...reads.map(({ into, row, four }) => into.set(i32x4.load16x4U(row, 8 * four))),
    ...widenHalves(
      fn,
      reads.map(({ into }) => into),
    ),
  ],
  loadOne: (fn, row, into) => [into.set(v128.load16Splat(row)), ...widenHalves(fn, [into])],
};

/** The upper half of an f32. */
const BF16: RowFormat = {
  dtype: 'bf16',
  blockElements: 1,
  bytesPerBlock: 2,
  loadScale: () => [],
  load: (_fn, reads) => reads.map(({ into, row, four }) => into.set(i32x4.shl(i32x4.load16x4U(row, 8 * four), 16))),
  loadOne: (_fn, row, into) => [into.set(i32x4.shl(v128.load16Splat(row), 16))],
};

const Q8_0: RowFormat = {
  dtype: 'q8_0',
  blockElements: 32,
  bytesPerBlock: 34,
  loadScale: (fn, row, scale) => [scale.set(v128.load16Splat(row)), ...widenHalves(fn, [scale])],
  load: (_fn, reads) => [
    ...reads.map(({ into, row, four }) => into.set(i16x8.extendLowI8x16S(v128.load32Zero(row, 2 + 4 * four)))),
    ...reads.map(({ into }) => into.set(f32x4.convertI32x4S(i32x4.extendLowI16x8S(into)))),
    ...reads.map(({ into, scale }) => into.set(f32x4.mul(into, scale))),
  ],
};

export const ROW_FORMATS: Readonly<Record<RowDType, RowFormat>> = { f32: F32, f16: F16, bf16: BF16, q8_0: Q8_0 };
