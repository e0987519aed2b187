/** A row of q8_0, of a page in which keys and values lie in rows, to its place in a strip (ops/kv-pages.ts draws both). */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { placeOfLevel, Q8_STRIP } from './attention-rows.ts';
import { STRIP } from './attention-scratch.ts';

type I = Local<'i32'>;

/** Of a row's block: a scale, and 32 levels. */
const [LEVELS_OFFSET, BLOCK_BYTES] = [2, 34];

/** (row, scale, levels, numBlocks) -> (): `scale` and `levels` are the key's places in the strip's first block. */
export function layKeyLevels(): FunctionBuilder {
  const pairs = Array.from({ length: Q8_STRIP.features / 2 }, (_, i) => i);
  return layLevels('lay_key_q8_0', (row, levels) =>
    pairs.map((i) => i32.store16(levels, i32.load16U(row, LEVELS_OFFSET + 2 * i), 2 * STRIP * i)),
  );
}

/** (row, scale, levels, numBlocks) -> (): likewise of a value. */
export function layValueLevels(): FunctionBuilder {
  const features = Array.from({ length: Q8_STRIP.features }, (_, i) => i);
  return layLevels('lay_value_q8_0', (row, levels) =>
    features.map((i) => i32.store8(levels, i32.load8U(row, LEVELS_OFFSET + i), placeOfLevel(i))),
  );
}

/** @param copyLevels  of one block */
function layLevels(name: string, copyLevels: (row: I, levels: I) => Statement[]): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const { row, scale, levels, numBlocks } = fn.params('row', 'scale', 'levels', 'numBlocks');
  fn.emit(
    countDown(
      numBlocks,
      i32.store16(scale, i32.load16U(row)),
      ...copyLevels(row, levels),
      advance(row, BLOCK_BYTES),
      advance(scale, Q8_STRIP.bytes),
      advance(levels, Q8_STRIP.bytes),
    ),
  );
  return fn;
}
