/** Loads a word of every page of memory that is about to be read.
 *
 * A processor reads ahead of a stream, but within a page of 4 KiB only, and where the next one begins it waits for the page's
 * address and then for its first line. Pages that are touched one after another are waited for together. On the machine of
 * docs/wasm-kernels.md one thread reads 22 GB/s, and 27 when the pages of every 2 MB are touched first; two read 32 and 34. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { branchIf, loop } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';

/** What processors read ahead in; also the smallest page of any operating system. */
const PAGE_BYTES = 4096;

/** Bytes whose pages are touched at a time: many, to be waited for together, but not more than what a processor remembers. */
export const TOUCHED_BYTES = 2 ** 21;

/** (start, end) -> (): at least one page. */
export function touchPages(): FunctionBuilder {
  const fn = new FunctionBuilder('touch_pages');
  const { start, end } = fn.params('start', 'end');
  fn.emit(...touchFrom(fn, start, end));
  return fn;
}

/** From `at`, which is moved on, to `end`: more than none. */
export function touchFrom(fn: FunctionBuilder, at: Local<'i32'>, end: I32): Statement[] {
  const touched = fn.local('i32');
  return [
    loop(
      // Loads can trap, so no compiler leaves them out.
      touched.set(i32.load(at)),
      at.set(i32.add(i32.and(at, i32.const(-PAGE_BYTES)), i32.const(PAGE_BYTES))),
      branchIf(0, i32.ltU(at, end)),
    ),
  ];
}
