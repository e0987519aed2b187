/** The steps of attention.ts's loop: scores, softmax, weighted values. Each emits code for one head and up to 64 keys,
 * whose rows' offsets lie in the scratch memory. */
import type { F32, I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, block, branchIf, countDown, loop, when } from '../emitter/control.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import { exponential, type Features, multiplyAdd, sumOfLanes } from './arithmetic.ts';

/** Keys per step of the online softmax. */
export const STEP_KEYS = 64;
const SCORES = STEP_KEYS * 4;
const PARTIAL_SUMS = 2 * STEP_KEYS * 4;
export const STATE = PARTIAL_SUMS + 4 * 32;
/** A maximum below every score; finite, so that old - new is a number. */
export const LOWEST = -3e38;

/** How a KV dtype is read. `prescale` is multiplied into what meets a loaded value, `postscale` into the sums. */
export interface KvFormat {
  readonly name: string;
  readonly bytesPerElement: number;
  load(fn: FunctionBuilder, address: I32, byteOffset: number): V128;
  readonly prescale: number;
  readonly postscale: number;
}

/** Parameters of the kernel, all i32. */
export const PARAMS = [
  'q', // the first head's query, heads one after another
  'out', // likewise
  'numHeads',
  'headDim', // a multiple of 8
  'table', // the sequence's block table, i32
  'firstKey',
  'numKeys', // at least 1
  'blockSize',
  'blockBytes',
  'keys', // the KV head's rows in block 0
  'values', // likewise
  'scratch',
] as const;

export type Params = Readonly<Record<(typeof PARAMS)[number], Local<'i32'>>>;

export type FiveLocals = [Local<'i32'>, Local<'i32'>, Local<'i32'>, Local<'i32'>, Local<'i32'>];

/** What the steps share. */
export interface Context {
  readonly fn: FunctionBuilder;
  readonly kv: KvFormat;
  readonly features: Features;
  readonly p: Params;
  readonly query: Local<'i32'>;
  readonly output: Local<'i32'>;
  readonly stepKeys: Local<'i32'>;
  /** stepKeys / 4, rounded up. */
  readonly numFours: Local<'i32'>;
  readonly max: Local<'f32'>;
  readonly sum: Local<'f32'>;
  readonly rescale: Local<'f32'>;
  readonly scale: Local<'f32'>;
}

/** scores[i] = q . k[i] * scale for the step's keys, and -Infinity-like lows for the up to seven after them. */
export function scoreKeys({ fn, kv, features, p, query, stepKeys, numFours, scale }: Context): Statement[] {
  const rows = fn.locals('i32', 4);
  const sums = Array.from({ length: 4 }, () => fn.locals('v128', 2));
  const [at, fours, q, rounds, rest] = fn.locals('i32', 5) as FiveLocals;
  const zero = fn.constant(f32x4.constant(0));
  const qs = fn.locals('v128', 2);
  const scales = fn.local('v128');
  const prescale = (value: V128) =>
    kv.prescale === 1 ? value : f32x4.mul(value, fn.constant(f32x4.constant(kv.prescale)));
  const dots = rows.flatMap((row, i) =>
    qs.map((qHalf, h) =>
      sums[i]![h]!.set(multiplyAdd(features, kv.load(fn, row, h * 4 * kv.bytesPerElement), qHalf, sums[i]![h]!)),
    ),
  );
  return [
    at.set(p.scratch),
    fours.set(numFours),
    scales.set(f32x4.splat(f32.mul(scale, f32.const(kv.postscale)))),
    countDown(
      fours,
      ...rows.map((row, i) => row.set(i32.add(p.keys, i32.load(at, 4 * i)))),
      ...sums.flat().map((sum) => sum.set(zero)),
      q.set(query),
      rounds.set(i32.shrU(p.headDim, i32.const(3))),
      countDown(
        rounds,
        ...qs.map((half, h) => half.set(prescale(v128.load(q, h * 16)))),
        ...dots,
        ...rows.map((row) => advance(row, 8 * kv.bytesPerElement)),
        advance(q, 32),
      ),
      ...sums.flat().map((sum, i) => v128.store(p.scratch, sum, PARTIAL_SUMS + 16 * i)),
      ...sumOfEights(
        p.scratch,
        sums.map(([sum]) => sum!),
      ),
      v128.store(at, f32x4.mul(sums[0]![0]!, scales), SCORES),
      advance(at, 16),
    ),
    // Eight scores are exponentiated at a time: whatever stands behind the last must not count.
    at.set(i32.add(p.scratch, i32.shl(stepKeys, i32.const(2)))),
    rest.set(i32.and(i32.sub(i32.const(0), stepKeys), i32.const(7))),
    when(rest, countDown(rest, f32.store(at, f32.const(LOWEST), SCORES), advance(at, 4))),
  ];
}

/** Four sums of eight partial sums each, left in `four[0]`, one per lane. Interleaving the vectors while they are added
 * takes six shuffles, where lane by lane it would be sixteen extractions. */
function sumOfEights(scratch: I32, four: readonly Local<'v128'>[]): Statement[] {
  const [a, b, c, d] = four as [Local<'v128'>, Local<'v128'>, Local<'v128'>, Local<'v128'>];
  const half = (i: number) => v128.load(scratch, PARTIAL_SUMS + 16 * i);
  const lanes = (x: V128, y: V128, order: readonly number[]) =>
    v128.shuffle(
      x,
      y,
      order.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
    );
  return [
    ...four.map((sum, i) => sum.set(f32x4.add(half(2 * i), half(2 * i + 1)))),
    a.set(f32x4.add(lanes(a, b, [0, 4, 1, 5]), lanes(a, b, [2, 6, 3, 7]))),
    c.set(f32x4.add(lanes(c, d, [0, 4, 1, 5]), lanes(c, d, [2, 6, 3, 7]))),
    a.set(f32x4.add(lanes(a, c, [0, 1, 4, 5]), lanes(a, c, [2, 3, 6, 7]))),
  ];
}

/** Scores to weights in place; `max`, `sum` and `rescale` = e^(old max - new max) brought up to date. */
export function softmaxStep({ fn, features, p, stepKeys, max, sum, rescale }: Context): Statement[] {
  const [at, rounds] = [fn.local('i32'), fn.local('i32')];
  const most = fn.local('v128');
  const maxes = fn.local('v128');
  const total = fn.locals('v128', 2);
  const pair = fn.locals('v128', 2);
  const old = fn.locals('v128', 1);
  const newMax = fn.local('f32');
  const lane = (i: number) => f32x4.extractLane(most, i);
  const eights = i32.shrU(i32.add(stepKeys, i32.const(7)), i32.const(3));
  return [
    at.set(p.scratch),
    rounds.set(eights),
    most.set(f32x4.splat(max)),
    countDown(
      rounds,
      most.set(f32x4.max(most, f32x4.max(v128.load(at, SCORES), v128.load(at, SCORES + 16)))),
      advance(at, 32),
    ),
    newMax.set(f32.max(f32.max(lane(0), lane(1)), f32.max(lane(2), lane(3)))),
    old[0]!.set(f32x4.splat(f32.sub(max, newMax))),
    ...exponential(fn, features, old),
    rescale.set(f32x4.extractLane(old[0]!, 0)),
    max.set(newMax),
    maxes.set(f32x4.splat(newMax)),
    ...total.map((half) => half.set(fn.constant(f32x4.constant(0)))),
    at.set(p.scratch),
    rounds.set(eights),
    countDown(
      rounds,
      ...pair.map((half, h) => half.set(f32x4.sub(v128.load(at, SCORES + h * 16), maxes))),
      ...exponential(fn, features, pair),
      ...pair.map((half, h) => v128.store(at, half, SCORES + h * 16)),
      ...total.map((half, h) => half.set(f32x4.add(half, pair[h]!))),
      advance(at, 32),
    ),
    total[0]!.set(f32x4.add(total[0]!, total[1]!)),
    sum.set(f32.add(f32.mul(sum, rescale), sumOfLanes(total[0]!))),
  ];
}

/** out = out * rescale + sum of weights[i] * v[i], 32 features at a time and the rest 8 at a time. */
export function addValues({ fn, kv, features, p, output, stepKeys, rescale }: Context): Statement[] {
  const [feature, left] = [fn.local('i32'), fn.local('i32')];
  const slice = (numVectors: number): Statement[] => {
    const [at, rounds, row] = fn.locals('i32', 3) as [Local<'i32'>, Local<'i32'>, Local<'i32'>];
    const sums = fn.locals('v128', numVectors);
    const weight = fn.local('v128');
    const rescales = fn.local('v128');
    const target = i32.add(output, i32.shl(feature, i32.const(2)));
    const prescale = (value: V128) =>
      kv.prescale === 1 ? value : f32x4.mul(value, fn.constant(f32x4.constant(kv.prescale)));
    const address = i32.add(i32.add(p.values, i32.load(at)), i32.mul(feature, i32.const(kv.bytesPerElement)));
    const out = fn.local('i32');
    return [
      out.set(target),
      rescales.set(f32x4.splat(rescale)),
      ...sums.map((sum, i) => sum.set(f32x4.mul(v128.load(out, i * 16), rescales))),
      at.set(p.scratch),
      rounds.set(stepKeys),
      countDown(
        rounds,
        row.set(address),
        weight.set(prescale(v128.load32Splat(at, SCORES))),
        ...sums.map((sum, i) =>
          sum.set(multiplyAdd(features, kv.load(fn, row, i * 4 * kv.bytesPerElement), weight, sum)),
        ),
        advance(at, 4),
      ),
      ...sums.map((sum, i) => v128.store(out, sum, i * 16)),
      advance(feature, numVectors * 4),
      left.set(i32.sub(left, i32.const(numVectors * 4))),
    ];
  };
  const slices = (numVectors: number) =>
    block(loop(branchIf(1, i32.ltU(left, i32.const(numVectors * 4))), ...slice(numVectors), branchIf(0, i32.const(1))));
  return [feature.set(i32.const(0)), left.set(p.headDim), slices(8), slices(2)];
}

/** out = out / sum, with the postscale that the sums of f16 values still lack. */
export function divideBySum({ fn, kv, p, output }: Context, sum: F32): Statement[] {
  const [at, rounds] = [fn.local('i32'), fn.local('i32')];
  const factor = fn.local('v128');
  const pair = fn.locals('v128', 2);
  return [
    factor.set(f32x4.splat(f32.div(f32.const(kv.postscale), sum))),
    at.set(output),
    rounds.set(i32.shrU(p.headDim, i32.const(3))),
    countDown(
      rounds,
      ...pair.map((half, h) => half.set(f32x4.mul(v128.load(at, 16 * h), factor))),
      ...pair.map((half, h) => v128.store(at, half, 16 * h)),
      advance(at, 32),
    ),
  ];
}
