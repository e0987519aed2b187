/** Products of a few queries with many rows of scratch memory: the inner loop of attention, used twice.
 *
 *             scores                                    weighted values
 *   rows      keys [D][16]: one feature of 16 keys      values [keys][D]: 16 features of one key
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
import { type Features, multiplyAdd } from './arithmetic.ts';

type I = Local<'i32'>;
type V = Local<'v128'>;

/** Locals that every tile of a kernel uses again. */
export interface ProductLocals {
  readonly row: readonly V[];
  readonly factor: V;
  readonly rounds: I;
}

export interface Product {
  readonly features: Features;
  readonly locals: ProductLocals;
  /** [query][vector of the row]. */
  readonly sums: readonly (readonly V[])[];
  /** Each query's next factor, f32. Moved on. */
  readonly factors: readonly I[];
  /** The next row, in one place or in two. Moved on. */
  readonly rows: readonly I[];
  readonly rowBytes: number | I;
  /** Vectors of a row that lie in one place. */
  readonly vectorsPerPlace: number;
  /** How many rows. Kept. */
  readonly numRows: I;
}

/** Rows per round of the loop. */
const UNROLL = 4;

export function productLocals(fn: FunctionBuilder, numVectors: number): ProductLocals {
  return { row: fn.locals('v128', numVectors), factor: fn.local('v128'), rounds: fn.local('i32') };
}

/** Emits the loop: four rows at a time, then the rest. */
export function multiplyRows(product: Product): Statement[] {
  const { locals, factors, rows, rowBytes, numRows } = product;
  const { rounds } = locals;
  const round = (count: number): Statement[] => [
    ...Array.from({ length: count }, (_, i) => multiplyRow(product, i)).flat(),
    ...factors.map((factor) => advance(factor, 4 * count)),
    ...(typeof rowBytes === 'number' ? rows.map((row) => advance(row, rowBytes * count)) : []),
  ];
  return [
    rounds.set(i32.shrU(numRows, i32.const(Math.log2(UNROLL)))),
    countDownFromAny(rounds, ...round(UNROLL)),
    rounds.set(i32.and(numRows, i32.const(UNROLL - 1))),
    countDownFromAny(rounds, ...round(1)),
  ];
}

function multiplyRow(
  { features, locals, sums, factors, rows, rowBytes, vectorsPerPlace }: Product,
  i: number,
): Statement[] {
  const { row, factor } = locals;
  const byteOffset = typeof rowBytes === 'number' ? i * rowBytes : 0;
  const vectors = row.slice(0, rows.length * vectorsPerPlace);
  return [
    ...vectors.map((vector, v) => {
      const place = rows[Math.floor(v / vectorsPerPlace)]!;
      return vector.set(v128.load(place, byteOffset + 16 * (v % vectorsPerPlace)));
    }),
    ...factors.flatMap((pointer, query) => [
      factor.set(v128.load32Splat(pointer, 4 * i)),
      ...vectors.map((vector, v) => sums[query]![v]!.set(multiplyAdd(features, vector, factor, sums[query]![v]!))),
    ]),
    // A distance known only at run time cannot be an offset of the load.
    ...(typeof rowBytes === 'number' ? [] : rows.map((place) => advance(place, rowBytes))),
  ];
}
