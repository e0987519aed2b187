/** What the kernels of both products of attention share: the registers of a tile, how a kernel walks over heads, and how what
 * heads share stays in the cache. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, branchIf, countDown, loop, when } from '../emitter/control.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { type ProductLocals, productLocals, VECTORS } from './attention-product.ts';
import type { StripDType } from './attention-rows.ts';
import { RECORD_BYTES, SCORE_ROW_BYTES } from './attention-scratch.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** A strip of keys, or of features, of some queries. */
export interface Tile {
  readonly fn: FunctionBuilder;
  readonly factors: readonly I[];
  /** [query][vector]. */
  readonly sums: readonly (readonly V[])[];
  /** Where the strip is. */
  readonly place: I;
  readonly locals: ProductLocals;
}

export function newTile(fn: FunctionBuilder, numQueries: number): Tile {
  const factors = fn.locals('i32', numQueries);
  const sums = factors.map(() => fn.locals('v128', VECTORS));
  return { fn, factors, sums, place: fn.local('i32'), locals: productLocals(fn) };
}

/** KV heads whose queries a call takes one after the other: `numHeads` of them, at least one. `headQueries` queries of each
 * lie in scratch memory, the call's among them; `headBytes` lie between one head's strip and the next's. */
export const HEAD_PARAMS = ['numHeads', 'headQueries', 'headBytes'] as const;

export type HeadParams = Readonly<Record<(typeof HEAD_PARAMS)[number] | 'records' | 'scores', I>>;

/** Memory that every head's turn reads again, `hotBytes` from `hot` on: queries, or accumulators. 0 bytes to leave it alone. */
export const HOT_PARAMS = ['hot', 'hotBytes'] as const;

export type HotParams = Readonly<Record<(typeof HOT_PARAMS)[number], I>>;

/** How many lines of hot memory a head's turn leaves out for one that it touches. The more bytes of pages pass by in a turn,
 * the fewer. */
const HOT_TURNS: Readonly<Record<StripDType, number>> = { f32: 1, f16: 2, q8_0: 4 };
const LINE_BYTES = 64;
const LINES_AT_ONCE = 4;

/** Touches lines of the hot memory, others at each head's turn. Keys and values stream through the first-level cache and
 * push out what lies there; what comes back from the second level comes between the processor's reading ahead of the stream,
 * which costs far more than these loads: a fifth of the time of a long past. */
export function keepHot(fn: FunctionBuilder, dtype: StripDType, { hot, hotBytes }: HotParams, turn: I): Statement {
  const [at, end, touched] = fn.locals('i32', 3) as [I, I, I];
  const stride = HOT_TURNS[dtype] * LINE_BYTES;
  const firstLine = i32.mul(i32.and(turn, i32.const(HOT_TURNS[dtype] - 1)), i32.const(LINE_BYTES));
  return when(
    hotBytes,
    at.set(i32.add(hot, firstLine)),
    end.set(i32.add(hot, hotBytes)),
    loop(
      // Loads can trap, so no compiler leaves them out.
      ...Array.from({ length: LINES_AT_ONCE }, (_, i) => touched.set(i32.load(at, i * stride))),
      advance(at, LINES_AT_ONCE * stride),
      branchIf(0, i32.ltU(at, end)),
    ),
  );
}

export interface HeadLocals {
  /** A number that is another one at each head's turn. */
  readonly turn: I;
  /** Of the head's first query. */
  readonly record: I;
  readonly scores: I;
  /** From the first head's strips to this one's. */
  readonly offset: I;
}

/** Runs `body` for each head. */
export function forEachHead(
  fn: FunctionBuilder,
  p: HeadParams,
  body: (head: HeadLocals) => readonly Statement[],
): Statement[] {
  const [record, scores, offset, left] = fn.locals('i32', 4) as [I, I, I, I];
  return [
    record.set(p.records),
    scores.set(p.scores),
    offset.set(i32.const(0)),
    left.set(p.numHeads),
    countDown(
      left,
      ...body({ turn: left, record, scores, offset }),
      advance(record, i32.mul(p.headQueries, i32.const(RECORD_BYTES))),
      advance(scores, i32.mul(p.headQueries, i32.const(SCORE_ROW_BYTES))),
      advance(offset, p.headBytes),
    ),
  ];
}
