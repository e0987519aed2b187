/** Arithmetic that a machine may have in a better form than the plain one, and e^x. Generators ask here instead of
 * using an instruction, and so exist once for every kind of machine. */
import type { F32, Local, Statement, V128 } from '../emitter/code.ts';
import type { FunctionBuilder } from '../emitter/function-builder.ts';
import { f32 } from '../emitter/scalar.ts';
import { f32x4, f64x2, i16x8, i32x4 } from '../emitter/simd.ts';

/** What the emitted code may use. */
export interface Features {
  /** Relaxed SIMD, whose results may differ between machines: a fused multiply-add where the CPU has one. */
  readonly relaxed: boolean;
  /** Whether V8 is to make one 256-bit instruction of two halves that stand side by side. Default true. */
  readonly isPaired?: boolean;
}

/** a * b + c per f32 lane: rounded once where relaxed SIMD finds a fused instruction, otherwise twice. */
export function multiplyAdd({ relaxed }: Features, a: V128, b: V128, c: V128): V128 {
  return relaxed ? f32x4.relaxedMadd(a, b, c) : f32x4.add(f32x4.mul(a, b), c);
}

/** a * b + c per f64 lane: likewise. */
export function multiplyAddWide({ relaxed }: Features, a: V128, b: V128, c: V128): V128 {
  return relaxed ? f64x2.relaxedMadd(a, b, c) : f64x2.add(f64x2.mul(a, b), c);
}

/** Sums of neighbouring products of signed bytes `x` and small bytes `level` (0 to 15), as eight 16-bit lanes.
 *
 * The relaxed instruction is x86's pmaddubsw or ARM's sdot: with one factor below 128 every implementation gives the
 * exact sum, so both ways here give the same integer and no result depends on the choice. */
export function dotSmallBytes(features: Features, x: V128, level: Local<'v128'>): V128 {
  if (features.relaxed) return i16x8.relaxedDotI8x16I7x16S(x, level);
  const even = i16x8.mul(i16x8.shrS(i16x8.shl(x, 8), 8), i16x8.shrU(i16x8.shl(level, 8), 8));
  const odd = i16x8.mul(i16x8.shrS(x, 8), i16x8.shrU(level, 8));
  return i16x8.add(even, odd);
}

/** e^x of several vectors at once, in place, to about 1e-7. Below -87 the result is a number near 1e-38 and not 0, so
 * that no denormal appears; above 88 it is some 1e38 and not infinity. NaN stays NaN.
 *
 *   e^x = 2^n * e^r    n = round(x / ln 2),  r = x - n ln 2 in two steps,  e^r by a polynomial
 *
 * Adding 1.5 * 2^23 rounds x / ln 2 to a whole number and leaves it in the low bits; shifted up they are the exponent.
 * Each step is emitted for all vectors before the next, so that the halves of a 256-bit pair stand side by side.
 * Source  Cephes, expf.c (coefficients and the two parts of ln 2); Cody & Waite 1980, chapter 6 */
export function exponential(fn: FunctionBuilder, features: Features, xs: readonly Local<'v128'>[]): Statement[] {
  const k = (value: number) => fn.constant(f32x4.constant(value));
  const rounded = fn.locals('v128', xs.length);
  const sums = fn.locals('v128', xs.length);
  const statements: Statement[] = [];
  const each = (step: (x: Local<'v128'>, n: Local<'v128'>, sum: Local<'v128'>) => Statement) => {
    xs.forEach((x, i) => {
      statements.push(step(x, rounded[i]!, sums[i]!));
    });
  };
  // Of x and a limit pmin and pmax keep x when it is NaN, and are one instruction where min and max take seven.
  each((x) => x.set(f32x4.pmin(f32x4.pmax(x, k(-87)), k(88))));
  each((x, n) => n.set(multiplyAdd(features, x, k(Math.LOG2E), k(ROUNDER))));
  each((_, n, sum) => sum.set(f32x4.sub(n, k(ROUNDER))));
  each((x, _, sum) => x.set(multiplyAdd(features, sum, k(-LN2_HIGH), x)));
  each((x, _, sum) => x.set(multiplyAdd(features, sum, k(-LN2_LOW), x)));
  each((_x, _, sum) => sum.set(k(EXP_COEFFICIENTS[0]!)));
  for (const coefficient of EXP_COEFFICIENTS.slice(1)) {
    each((x, _, sum) => sum.set(multiplyAdd(features, sum, x, k(coefficient))));
  }
  each((x, n, sum) => x.set(f32x4.mul(sum, i32x4.shl(n, 23))));
  return statements;
}

/** The exponent's bias comes along, so that n shifted up is the number 2^n. */
const ROUNDER = 1.5 * 2 ** 23 + 127;
/** ln 2 = HIGH + LOW. HIGH has so few bits that n * HIGH is exact, and taking it from x the same with one rounding or two. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.1219444e-4;
/** Of r^7 down to r^0. */
const EXP_COEFFICIENTS: readonly number[] = [
  1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 1,
];

/** The four lanes added in one fixed order: (0 + 1) + (2 + 3). */
export function sumOfLanes(sum: Local<'v128'>): F32 {
  const lane = (i: number) => f32x4.extractLane(sum, i);
  return f32.add(f32.add(lane(0), lane(1)), f32.add(lane(2), lane(3)));
}
