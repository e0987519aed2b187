/** A token's key or value of one head to its page, in the page's dtype, rounded as the reference rounds: a key to a lane
 * of a strip, a value to its rows of a strip, both to a row where pages have no strips (ops/kv-pages.ts draws them). */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { placeOfLevel, Q8_STRIP } from './attention-rows.ts';
import { STRIP } from './attention-scratch.ts';
import { narrowFloats, specialHalves } from './half-floats.ts';
import { storeVectors } from './store-vectors.ts';

type V = Local<'v128'>;

/** (source, target, headDim) -> (). */
export function storeLaneF32(): FunctionBuilder {
  const fn = new FunctionBuilder('store_lane_f32');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const copy = f32.store(target, f32.load(source));
  fn.emit(countDown(count, copy, advance(source, 4), advance(target, 4 * STRIP)));
  return fn;
}

/** (source, target, headDim) -> (whether any is an infinity or NaN). */
export function storeLaneF16(): FunctionBuilder {
  const fn = new FunctionBuilder('store_lane_f16');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const rounds = fn.local('i32');
  const four = fn.local('v128');
  const specials = noteSpecials(fn);
  const store = (lane: number) => i32.store16(target, i32x4.extractLane(four, lane), lane * 2 * STRIP);
  fn.emit(
    rounds.set(i32.shrU(count, i32.const(2))),
    countDownFromAny(
      rounds,
      four.set(v128.load(source)),
      ...narrowFloats(fn, [four]),
      specials.note(four),
      ...[0, 1, 2, 3].map(store),
      advance(source, 16),
      advance(target, 4 * 2 * STRIP),
    ),
    rounds.set(i32.and(count, i32.const(3))),
    countDownFromAny(
      rounds,
      four.set(v128.load32Zero(source)),
      ...narrowFloats(fn, [four]),
      specials.note(four),
      store(0),
      advance(source, 4),
      advance(target, 2 * STRIP),
    ),
  );
  fn.returns(specials.areAny);
  return fn;
}

/** Whether any f16 that is stored is an infinity or NaN. */
function noteSpecials(fn: FunctionBuilder) {
  const found = fn.local('v128');
  return {
    note: (patterns: V128): Statement => found.set(v128.or(found, specialHalves(fn, patterns))),
    areAny: v128.anyTrue(found),
  };
}

type Specials = ReturnType<typeof noteSpecials>;

/** (source, target, headDim) -> (whether any is an infinity or NaN). */
export function storeRowF16(): FunctionBuilder {
  const fn = new FunctionBuilder('store_row_f16');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const rounds = fn.local('i32');
  const pair = fn.locals('v128', 2) as [V, V];
  const specials = noteSpecials(fn);
  fn.emit(
    rounds.set(i32.shrU(count, i32.const(3))),
    countDownFromAny(
      rounds,
      ...storeEightHalves(fn, { source, target, pair, specials }),
      advance(source, 32),
      advance(target, 16),
    ),
    rounds.set(i32.and(count, i32.const(7))),
    countDownFromAny(
      rounds,
      pair[0].set(v128.load32Zero(source)),
      ...narrowFloats(fn, [pair[0]]),
      specials.note(pair[0]),
      i32.store16(target, i32x4.extractLane(pair[0], 0)),
      advance(source, 4),
      advance(target, 2),
    ),
  );
  fn.returns(specials.areAny);
  return fn;
}

/** (source, target, count) -> (): `count` times 16 features, to every 16th row of 16 numbers: other keys' lie between. */
export function storeValueF32(): FunctionBuilder {
  const fn = new FunctionBuilder('store_value_f32');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const four = fn.locals('v128', 4);
  fn.emit(
    countDown(
      count,
      ...four.map((x, i) => x.set(v128.load(source, 16 * i))),
      ...storeVectors(target, four),
      advance(source, 4 * STRIP),
      advance(target, 4 * STRIP * STRIP),
    ),
  );
  return fn;
}

/** (source, target, count) -> (whether any is an infinity or NaN): likewise. */
export function storeValueF16(): FunctionBuilder {
  const fn = new FunctionBuilder('store_value_f16');
  const { source, target, count } = fn.params('source', 'target', 'count');
  const pair = fn.locals('v128', 2) as [V, V];
  const specials = noteSpecials(fn);
  fn.emit(
    countDown(
      count,
      ...[0, 1].flatMap((i) => storeEightHalves(fn, { source, target, pair, specials }, i)),
      advance(source, 4 * STRIP),
      advance(target, 2 * STRIP * STRIP),
    ),
  );
  fn.returns(specials.areAny);
  return fn;
}

/** (address, count) -> (whether any is an infinity or NaN): `count` times 16 bytes of f16. */
export function hasSpecialHalves(): FunctionBuilder {
  const fn = new FunctionBuilder('has_special_f16');
  const { address, count } = fn.params('address', 'count');
  const specials = noteSpecials(fn);
  fn.emit(countDownFromAny(count, specials.note(v128.load(address)), advance(address, 16)));
  fn.returns(specials.areAny);
  return fn;
}

/** Numbers 8i to 8i + 7 after both addresses. */
function storeEightHalves(
  fn: FunctionBuilder,
  p: Readonly<Record<'source' | 'target', I32>> & { readonly pair: readonly [V, V]; readonly specials: Specials },
  i = 0,
): Statement[] {
  const { source, target, pair, specials } = p;
  return [
    ...pair.map((half, h) => half.set(v128.load(source, 32 * i + 16 * h))),
    ...narrowFloats(fn, pair),
    ...pair.map((half) => specials.note(half)),
    v128.store(target, i16x8.narrowI32x4U(...pair), 16 * i),
  ];
}

/** (source, scale, levels, numBlocks) -> (): `scale` and `levels` are the lane's places in the strip's first block. */
export function storeLaneQ8(): FunctionBuilder {
  return storeInStrip('store_lane_q8_0', (fn, levels, xs) => {
    const sixteen = fn.locals('v128', 2);
    const pairs = Array.from({ length: 8 }, (_, pair) => pair);
    return [
      ...sixteen.map((bytes, i) => bytes.set(sixteenBytes(xs, 4 * i))),
      ...sixteen.flatMap((bytes, i) =>
        pairs.map((pair) => i32.store16(levels, i16x8.extractLaneU(bytes, pair), (8 * i + pair) * 2 * STRIP)),
      ),
    ];
  });
}

/** (source, scale, levels, numBlocks) -> (): `scale` and `levels` are the key's places in the strip's first block. */
export function storeValueQ8(): FunctionBuilder {
  return storeInStrip('store_value_q8_0', (_fn, levels, xs) =>
    xs.flatMap((x, i) =>
      [0, 1, 2, 3].map((lane) => i32.store8(levels, i32x4.extractLane(x, lane), placeOfLevel(4 * i + lane))),
    ),
  );
}

/** @param storeLevels  of one block, whose levels are `xs` */
function storeInStrip(
  name: string,
  storeLevels: (fn: FunctionBuilder, levels: I32, xs: readonly V[]) => Statement[],
): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const { source, scale, levels, numBlocks } = fn.params('source', 'scale', 'levels', 'numBlocks');
  const { quantize, xs } = blockQuantizer(fn, source, scale);
  fn.emit(
    countDown(
      numBlocks,
      ...quantize,
      ...storeLevels(fn, levels, xs),
      advance(source, 128),
      advance(scale, Q8_STRIP.bytes),
      advance(levels, Q8_STRIP.bytes),
    ),
  );
  return fn;
}

/** (source, target, numBlocks) -> (): blocks of a scale and 32 levels. */
export function storeRowQ8(): FunctionBuilder {
  const fn = new FunctionBuilder('store_row_q8_0');
  const { source, target, numBlocks } = fn.params('source', 'target', 'numBlocks');
  const { quantize, xs } = blockQuantizer(fn, source, target);
  fn.emit(
    countDown(
      numBlocks,
      ...quantize,
      v128.store(target, sixteenBytes(xs, 0), 2),
      v128.store(target, sixteenBytes(xs, 4), 18),
      advance(source, 128),
      advance(target, 34),
    ),
  );
  return fn;
}

/** Four vectors of levels. */
function sixteenBytes(xs: readonly V[], first: number): V128 {
  return i8x16.narrowI16x8S(
    i16x8.narrowI32x4S(xs[first]!, xs[first + 1]!),
    i16x8.narrowI32x4S(xs[first + 2]!, xs[first + 3]!),
  );
}

/** Quantizes the 32 values at `source`: the f16 scale is stored at `scaleAt`, the levels are left in `xs`, i32.
 *
 *   scale = largest |x| / 127      level = round(x * (1 / scale)), halves away from 0
 *
 * As in the reference a NaN does not count for the scale and gets the level 0, and so does every value of a block whose
 * scale has no finite inverse: zeros, and what is so small that its f16 scale is 0. Infinity makes the scale infinite. */
function blockQuantizer(fn: FunctionBuilder, source: I32, scaleAt: I32) {
  const xs = fn.locals('v128', 8);
  const wholes = fn.locals('v128', 8);
  const [largest, scale, inverse] = fn.locals('v128', 3) as [V, V, V];
  const [magnitude, inverted] = [fn.local('f32'), fn.local('f32')];
  const lane = (i: number) => f32x4.extractLane(largest, i);
  const quantize: Statement[] = [
    ...xs.map((x, i) => x.set(v128.load(source, 16 * i))),
    largest.set(fn.constant(f32x4.constant(0))),
    ...xs.map((x) => largest.set(f32x4.pmax(largest, f32x4.abs(x)))),
    magnitude.set(f32.max(f32.max(lane(0), lane(1)), f32.max(lane(2), lane(3)))),
    magnitude.set(f32.div(magnitude, f32.const(127))),
    scale.set(f32x4.splat(magnitude)),
    ...narrowFloats(fn, [scale]),
    i32.store16(scaleAt, i32x4.extractLane(scale, 0)),
    inverted.set(f32.div(f32.const(1), magnitude)),
    // Infinity - infinity is NaN, and NaN becomes level 0.
    inverse.set(f32x4.splat(f32.add(inverted, f32.sub(inverted, inverted)))),
    ...xs.map((x) => x.set(f32x4.mul(x, inverse))),
    ...wholes.map((whole, i) => whole.set(f32x4.trunc(xs[i]!))),
    ...xs.map((x, i) => x.set(i32x4.truncSatF32x4S(roundHalfAway(x, wholes[i]!)))),
  ];
  return { quantize, xs };
}

/** `whole` is x without its fraction. Twice the fraction is -1, 1 or between: cut, it is what is to be added. */
function roundHalfAway(x: V128, whole: V128): V128 {
  const fraction = f32x4.sub(x, whole);
  return f32x4.add(whole, f32x4.trunc(f32x4.add(fraction, fraction)));
}
