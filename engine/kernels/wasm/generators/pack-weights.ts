/** Moves one row of a weight, as a file holds it, to its place in a group of packed records (packing/record-layout.ts).
 * Whole levels and scales move; nothing is computed, so a packed weight is the stored weight.
 *
 * All return 1 when a 16-bit float among what they moved is infinite or NaN, otherwise 0: kernels would read it as a
 * finite number. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { Q4_RECORD, Q8_RECORD } from '../packing/record-layout.ts';

const Q8_BLOCK_BYTES = 34;
const Q4_BLOCK_BYTES = 18;
const F16_EXPONENT = 0x7c00;

/** (source, levels, scales, numBlocks) -> i32. `levels` and `scales`: where row r's first ones go. */
export function packQ8Row(): FunctionBuilder {
  return packBlocks('pack_q8_0', Q8_BLOCK_BYTES, Q8_RECORD.byteLength, (source, levels) =>
    Array.from({ length: Q8_RECORD.numChunks }, (_, c) =>
      i32.store16(levels, i32.load16U(source, 2 + 2 * c), c * Q8_RECORD.bytesPerChunk),
    ),
  );
}

/** (source, levels, scales, numBlocks) -> i32. A stored byte pairs element j with j + 16, as a packed one does. */
export function packQ4Row(): FunctionBuilder {
  return packBlocks('pack_q4_0', Q4_BLOCK_BYTES, Q4_RECORD.byteLength, (source, levels) =>
    Array.from({ length: Q4_RECORD.numChunks }, (_, c) =>
      i32.store(levels, i32.load(source, 2 + 4 * c), c * Q4_RECORD.bytesPerChunk),
    ),
  );
}

function packBlocks(
  name: string,
  blockBytes: number,
  recordBytes: number,
  moveLevels: (source: Local<'i32'>, levels: Local<'i32'>) => readonly Statement[],
): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const [source, levels, scales, numBlocks] = [fn.param('i32'), fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const scale = fn.local('i32');
  const notFinite = fn.local('i32');
  fn.emit(
    countDown(
      numBlocks,
      scale.set(i32.load16U(source)),
      notFinite.set(i32.or(notFinite, isNotFinite(scale))),
      i32.store16(scales, scale),
      ...moveLevels(source, levels),
      advance(source, blockBytes),
      advance(levels, recordBytes),
      advance(scales, recordBytes),
    ),
  );
  fn.returns(notFinite);
  return fn;
}

/** Whether an f16 is infinite or NaN. */
export const isNotFinite = (bits: Local<'i32'>) =>
  i32.eq(i32.and(bits, i32.const(F16_EXPONENT)), i32.const(F16_EXPONENT));

/** (source, target, count) -> i32: `count` f16 values, 32 bytes apart. */
export function packF16Row(): FunctionBuilder {
  return packHalves('pack_f16', true);
}

/** (source, target, count) -> i32: `count` bf16 values, 32 bytes apart. A bf16 may be anything an f32 may. */
export function packBf16Row(): FunctionBuilder {
  return packHalves('pack_bf16', false);
}

function packHalves(name: string, isChecked: boolean): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const [source, target, count] = [fn.param('i32'), fn.param('i32'), fn.param('i32')];
  const value = fn.local('i32');
  const notFinite = fn.local('i32');
  fn.emit(
    countDown(
      count,
      value.set(i32.load16U(source)),
      ...(isChecked ? [notFinite.set(i32.or(notFinite, isNotFinite(value)))] : []),
      i32.store16(target, value),
      advance(source, 2),
      advance(target, 32),
    ),
  );
  fn.returns(notFinite);
  return fn;
}

/** (source, target, count) -> i32, always 0: `count` f32 values, 32 bytes apart. */
export function packF32Row(): FunctionBuilder {
  const fn = new FunctionBuilder('pack_f32');
  const [source, target, count] = [fn.param('i32'), fn.param('i32'), fn.param('i32')];
  fn.emit(countDown(count, i32.store(target, i32.load(source)), advance(source, 4), advance(target, 32)));
  fn.returns(i32.const(0));
  return fn;
}
