/** What the kernels of both products of attention share: the registers of a tile, and how a kernel walks over heads. */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4 } from '../emitter/simd.ts';
import { type ProductLocals, productLocals, VECTORS } from './attention-product.ts';
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

/** To zeros, of f32 or of whole numbers. */
export function clearSums({ fn, sums }: Tile): Statement[] {
  const zero = fn.constant(f32x4.constant(0));
  return sums.flat().map((sum) => sum.set(zero));
}

/** KV heads whose queries a call takes one after the other: `numHeads` of them, at least one. `headQueries` queries of each
 * lie in scratch memory, the call's among them; `headBytes` lie between one head's strip and the next's. */
export const HEAD_PARAMS = ['numHeads', 'headQueries', 'headBytes'] as const;

export type HeadParams = Readonly<Record<(typeof HEAD_PARAMS)[number] | 'records' | 'scores', I>>;

export interface HeadLocals {
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
      ...body({ record, scores, offset }),
      advance(record, i32.mul(p.headQueries, i32.const(RECORD_BYTES))),
      advance(scores, i32.mul(p.headQueries, i32.const(SCORE_ROW_BYTES))),
      advance(offset, p.headBytes),
    ),
  ];
}
