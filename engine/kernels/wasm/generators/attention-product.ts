/** Products of a few queries with many rows of 16 numbers: the inner loop of attention, used twice.
 *
 *             scores                                    weighted values
 *   row       one feature of 16 keys (q8_0: two)        16 features of one key's value (q8_0: of two)
 *   factors   a query's features                        a query's weights
 *   sums      a query's scores: lane = key              a query's output: lane = feature
 *
 * A row is loaded once for all queries, a factor is repeated to all lanes:  sums[query] += factor[query] * row.
 * Each sum is one chain of additions in the order of the rows, whatever the number of queries or the width (law 2). */
import type { Local, Statement } from '../emitter/code.ts';
import { advance, countDownFromAny } from '../emitter/control.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { v128 } from '../emitter/simd.ts';
import type { RowReader } from './attention-rows.ts';
import { STRIP } from './attention-scratch.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** Of a row. */
export const VECTORS = STRIP / 4;

/** Locals that every product of a kernel uses again. */
export interface ProductLocals {
  readonly row: readonly V[];
  readonly factor: V;
  readonly rounds: I;
}

export interface Product {
  readonly locals: ProductLocals;
  readonly reader: RowReader;
  /** [query][vector of the row]. */
  readonly sums: readonly (readonly V[])[];
  /** Each query's next factor, of 32 bits. Moved on. */
  readonly factors: readonly I[];
  /** Where the next row is. Moved on. One place only: memory is read at half the speed where two streams take turns. */
  readonly place: I;
  /** How many rows. Kept. */
  readonly numRows: I;
}

/** Rows per round of the loop. */
const UNROLL = 4;

export function productLocals(fn: FunctionBuilder): ProductLocals {
  return { row: fn.locals('v128', VECTORS), factor: fn.local('v128'), rounds: fn.local('i32') };
}

/** Emits the loop: four rows at a time, then the rest. */
export function multiplyRows(product: Product): Statement[] {
  const { locals, reader, factors, place, numRows } = product;
  const { rounds } = locals;
  const round = (count: number): Statement[] => [
    ...Array.from({ length: count }, (_, i) => multiplyRow(product, i)).flat(),
    ...factors.map((factor) => advance(factor, 4 * count)),
    advance(place, reader.rowBytes * count),
  ];
  return [
    rounds.set(i32.shrU(numRows, i32.const(Math.log2(UNROLL)))),
    countDownFromAny(rounds, ...round(UNROLL)),
    rounds.set(i32.and(numRows, i32.const(UNROLL - 1))),
    countDownFromAny(rounds, ...round(1)),
  ];
}

function multiplyRow({ locals, reader, sums, factors, place }: Product, i: number): Statement[] {
  const { row, factor } = locals;
  return [
    ...reader.load(row, place, i),
    ...factors.flatMap((pointer, query) => [
      factor.set(v128.load32Splat(pointer, 4 * i)),
      ...row.map((vector, v) => sums[query]![v]!.set(reader.multiplyAdd(vector, factor, sums[query]![v]!))),
    ]),
  ];
}
