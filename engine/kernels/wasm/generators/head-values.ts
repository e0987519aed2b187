/** The values of one head that a kernel adds, and where they lie. */
import type { I32, Local } from '../emitter/code.ts';
import { i32 } from '../emitter/scalar.ts';
import type { Features } from './arithmetic.ts';
import { STRIP_VALUES, stripEntry } from './attention-scratch.ts';
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
  return i32.add(i32.load(stripEntry(strips, key), STRIP_VALUES), offset);
}
