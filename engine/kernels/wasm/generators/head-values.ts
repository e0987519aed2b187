/** The values of one head that a kernel adds, and where they lie. */
import type { I32, Local } from '../emitter/code.ts';
import { i32 } from '../emitter/scalar.ts';
import type { Features } from './arithmetic.ts';
import { LOG2_STRIP, STRIP_ENTRY_BYTES, STRIP_VALUES } from './attention-scratch.ts';
import type { Tile } from './attention-tile.ts';

type I = Local<'i32'>;

/** Keys `first` to `end` - 1 of a section, of one step. `scores` are their weights by now; `past` is free to be used. */
export interface HeadValues
  extends Readonly<Record<'strips' | 'headDim' | 'first' | 'end' | 'past' | 'scores' | 'offset', I>> {
  readonly tile: Tile;
  /** Where each query's next 16 sums are. Moved on. */
  readonly targets: readonly I[];
  readonly features: Features;
}

/** Where the head's values begin of the strip that holds a key. */
export function placeOfValues({ strips, offset }: HeadValues, key: I): I32 {
  const entry = i32.add(strips, i32.mul(i32.shrU(key, i32.const(LOG2_STRIP)), i32.const(STRIP_ENTRY_BYTES)));
  return i32.add(i32.load(entry, STRIP_VALUES), offset);
}
