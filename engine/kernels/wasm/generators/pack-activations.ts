/** Brings a token's activations into the layout of packing/activation-layout.ts, quantizing on the way.
 *
 *   level = round(x / scale),  scale = largest |x| of the 32 / largest level
 *
 * A block of zeros gets the scale 0, and what its levels are does not matter: 0 / 0 is NaN, whose bits narrow to the largest
 * or smallest level. A NaN or an infinity makes the scale NaN and through it every output of the row, as it should. */
import type { F32, I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, countDownFromAny } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32, i32 } from '../emitter/scalar.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { HALF_PRESCALE } from './half-floats.ts';

const BLOCK_BYTES = 32 * 4;

/** (x, levels, scale, recordBytes, numBlocks) -> (): 16-bit levels. */
export function quantizeToI16(): FunctionBuilder {
  const fn = new FunctionBuilder('quantize_i16');
  const { x, levels, scale, code, frame } = blockQuantizer(fn, 32767);
  for (let pair = 0; pair < 4; pair++) {
    const eight = i16x8.narrowI32x4S(
      toLevels(fn, code.inverse, x, 2 * pair),
      toLevels(fn, code.inverse, x, 2 * pair + 1),
    );
    code.body.push(v128.store(levels, eight, pair * 16));
  }
  frame(levels, scale);
  return fn;
}

/** (x, levels, scale, recordBytes, numBlocks, sum) -> (): 8-bit levels, and 8 times their sum. */
export function quantizeToI8(): FunctionBuilder {
  const fn = new FunctionBuilder('quantize_i8');
  const { x, levels, scale, code, frame, param } = blockQuantizer(fn, 127, ['sum']);
  const sum = param('sum');
  const sixteen = fn.locals('v128', 2);
  sixteen.forEach((vector, i) => {
    const eight = (first: number) =>
      i16x8.narrowI32x4S(toLevels(fn, code.inverse, x, first), toLevels(fn, code.inverse, x, first + 1));
    code.body.push(vector.set(i8x16.narrowI16x8S(eight(4 * i), eight(4 * i + 2))));
    code.body.push(v128.store(levels, vector, i * 16));
  });
  const sums = fn.local('v128');
  const wide = (vector: V128) => i32x4.extaddPairwiseI16x8S(i16x8.extaddPairwiseI8x16S(vector));
  const lane = (i: number) => i32x4.extractLane(sums, i);
  code.body.push(
    sums.set(i32x4.add(wide(sixteen[0]!), wide(sixteen[1]!))),
    i32.store(sum, i32.shl(i32.add(i32.add(lane(0), lane(1)), i32.add(lane(2), lane(3))), i32.const(3))),
  );
  frame(levels, scale, sum);
  return fn;
}

/** The part that both have: the loop over blocks, the scale, and 1 / scale in all lanes. */
function blockQuantizer(fn: FunctionBuilder, maxLevel: number, more: readonly string[] = []) {
  const names = ['x', 'levels', 'scale', 'recordBytes', 'numBlocks', ...more];
  const params = new Map(names.map((name) => [name, fn.param('i32')]));
  const param = (name: string): Local<'i32'> => params.get(name)!;
  const x = param('x');
  const inverse = fn.local('v128');
  const max = fn.local('f32');
  const body: Statement[] = [
    ...largestMagnitude(fn, x, BLOCK_BYTES / 16, max),
    f32.store(param('scale'), scaleOf(max, maxLevel)),
    inverse.set(f32x4.splat(f32.div(f32.const(maxLevel), max))),
  ];
  const frame = (...outputs: readonly Local<'i32'>[]): void => {
    const steps = outputs.map((output) => advance(output, param('recordBytes')));
    fn.emit(countDown(param('numBlocks'), ...body, ...steps, advance(x, BLOCK_BYTES)));
  };
  return { x, levels: param('levels'), scale: param('scale'), param, code: { body, inverse }, frame };
}

/** Lanes 2, 3, 0, 1 and 1, 0, 3, 2, as bytes. */
const SWAP_HALVES = [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7];
const SWAP_NEIGHBOURS = [4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11];

/** The largest |x| of `numVectors` vectors to `max`; NaN when there is one among them. Patterns of magnitudes are ordered
 * as whole numbers, NaN above infinity, and those have a maximum of one instruction where floats need many and a branch,
 * which would be mispredicted half of the time. */
export function largestMagnitude(fn: FunctionBuilder, x: I32, numVectors: number, max: Local<'f32'>): Statement[] {
  const most = fn.locals('v128', 4);
  const magnitude = (i: number): V128 => v128.and(v128.load(x, i * 16), fn.constant(i32x4.splat(0x7fffffff)));
  const code: Statement[] = [];
  for (let i = 0; i < numVectors; i++) {
    const chain = most[i % 4]!;
    code.push(chain.set(i < 4 ? magnitude(i) : i32x4.maxS(chain, magnitude(i))));
  }
  const [a, b, c, d] = most as [Local<'v128'>, Local<'v128'>, Local<'v128'>, Local<'v128'>];
  return [
    ...code,
    a.set(i32x4.maxS(i32x4.maxS(a, b), i32x4.maxS(c, d))),
    a.set(i32x4.maxS(a, v128.shuffle(a, a, SWAP_HALVES))),
    a.set(i32x4.maxS(a, v128.shuffle(a, a, SWAP_NEIGHBOURS))),
    max.set(f32x4.extractLane(a, 0)),
  ];
}

/** The scale of a block whose largest magnitude is `max`. Infinity minus itself is NaN: what level an infinity gets would
 * depend on the sign that a CPU gives to NaN. */
export function scaleOf(max: Local<'f32'>, maxLevel: number): F32 {
  return f32.add(f32.mul(max, f32.const(HALF_PRESCALE / maxLevel)), f32.sub(max, max));
}

/** Vector `vector` of the values at `x` as levels. Adding 1.5 * 2^23 rounds them to whole numbers, ties to even, and leaves
 * those in the low bits. */
export function toLevels(fn: FunctionBuilder, inverse: V128, x: Local<'i32'>, vector: number): V128 {
  const rounded = f32x4.add(f32x4.mul(v128.load(x, vector * 16), inverse), fn.constant(f32x4.constant(ROUNDER)));
  return i32x4.sub(rounded, fn.constant(f32x4.constant(ROUNDER)));
}

const ROUNDER = 1.5 * 2 ** 23;

/** (x, out, recordBytes, numRecords, scale f32) -> (): one token's values, four to a record, each times `scale`. */
export function spreadFloats(): FunctionBuilder {
  const fn = new FunctionBuilder('spread_f32');
  const { x, out, recordBytes, numRecords } = fn.params('x', 'out', 'recordBytes', 'numRecords');
  const scale = fn.param('f32');
  const four = f32x4.mul(v128.load(x), f32x4.splat(scale));
  fn.emit(countDownFromAny(numRecords, v128.store(out, four), advance(x, 16), advance(out, recordBytes)));
  return fn;
}
