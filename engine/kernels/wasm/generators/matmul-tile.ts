/** The frame of every matmul kernel: a tile of `tokens` activations rows times 8 or 16 weight rows, over all of K.
 *
 * Weights come as one stream of records, activations as another (see packing/). A record holds `blockK` elements of each
 * of 8 weight rows; lane i of a vector belongs to weight row i, so that no sum ever crosses lanes and each output
 * element has one accumulator chain whatever the tile's shape: a token alone and in a batch gets the same bits.
 *
 *              8 weight rows               acc[0][m]: rows 0-3 of group 0      two 128-bit halves stand side by side,
 *            +---------------+             acc[1][m]: rows 4-7                 so that V8 can make one 256-bit
 *   token m  | acc0  | acc1  |             with 2 groups also acc[2], acc[3]   instruction of them (revectorization)
 *            +---------------+
 *
 * Each token has a pointer of its own into the activations, and all read at the same offsets: V8 adds the offset of a
 * load that spreads a number to all lanes in an instruction of its own, but only once for equal offsets.
 *
 * Knows nothing of formats: each provides the code for one record. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { advance, countDown, when } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { f32x4, v128 } from '../emitter/simd.ts';
import type { Features } from './arithmetic.ts';
import { storeVectors } from './store-vectors.ts';
import { PACKED, UnpackedVectors, UnpackingVectors, type WeightVectors } from './weight-vectors.ts';

/** Weight rows per record. */
export const GROUP_ROWS = 8;
/** Bytes of one group's outputs for one token. */
const GROUP_OUT_BYTES = GROUP_ROWS * 4;

export interface TileShape {
  readonly tokens: number;
  /** Groups of 8 weight rows side by side. */
  readonly groups: 1 | 2;
  /** Whether the weights' records are unpacked (weight-vectors.ts). */
  readonly isUnpacked?: boolean;
}

/** What a format's code for one record works with. Halves are numbered over all groups: half h is rows 4h to 4h + 3. */
export interface TileContext {
  readonly fn: FunctionBuilder;
  readonly features: Features;
  readonly tokens: number;
  readonly numHalves: number;
  /** Start of a token's part of the activations' record. */
  xOf(token: number): I32;
  /** Start of the weights' record that holds a half. */
  weightOf(half: number): I32;
  /** What comes of the weights alone. */
  readonly vectors: WeightVectors;
  /** A vector that all halves use. */
  shared(): SharedVector;
  /** sums[m][h] += ... : f32 accumulators. */
  readonly sums: readonly (readonly Local<'v128'>[])[];
}

/** Halves that are to become one instruction each have an operand of their own; otherwise one does for all. */
export interface SharedVector {
  set(value: V128): readonly Statement[];
  of(half: number): V128;
}

/** Both are what was measured to be fastest. */
export interface Unpacking {
  /** Groups that the kernel for unpacked records takes where registers hold 256 bits. */
  readonly groups: 1 | 2;
  /** From how many tokens on it takes less time than it saves. */
  readonly minTokens: number;
}

export interface TileFormat {
  readonly name: string;
  /** Bytes of a record: `blockK` elements of 8 weight rows. */
  readonly weightRecordBytes: number;
  /** Bytes of a record of activations for each token. */
  readonly activationBytes: number;
  /** How many groups of weight rows a kernel may take: two where registers hold the sums of a full tile. */
  readonly groups: readonly (1 | 2)[];
  /** Set where two groups share records (packing/record-layout.ts). A kernel begins with an even group, or takes one only. */
  readonly pairStep?: number | undefined;
  /** Whether, and how, panels of weights are unpacked for many tokens. */
  readonly unpacking?: Unpacking;
  /** What finished sums are multiplied by; 1 for nothing. */
  readonly postscale: number;
  /** Where in a token's part of the activations' record lies what its finished sums are multiplied by, besides: a whole power
   * of two, the same in all records. */
  readonly unitOffset?: number;
  /** Prepares what all records share, then returns the code that adds one record to `sums`. */
  emitRecord(tile: TileContext): readonly Statement[];
}

export function tileName(format: string, { tokens, groups, isUnpacked = false }: TileShape): string {
  return `matmul_${isUnpacked ? 'unpacked_' : ''}${format}_${tokens}x${groups * GROUP_ROWS}`;
}

/** Emits
 *
 *   (weights, x, out, outStride, numRecords, numTiles, bias, residual, before, beforeStride) -> ()
 *   (weights, x, out, outStride, numRecords, numTiles, bias, residual, numTokenTiles) -> ()             of unpacked weights
 *
 * weights: the first group; groups lie one after another. x: one packed tile of activations. out: the first token's
 * first output; the next token's is `outStride` bytes on. numRecords: K / blockK. numTiles: how many tiles of `groups`
 * groups, one after another along the weight's rows. Both counts must be at least 1. bias: the first row's; residual: what
 * is added to the first token's first output, the rest as outputs lie; 0 for none. before: the first token's first sum over
 * the records before these, as a call for those stored it; the next token's is `beforeStride` bytes on; 0 where there are
 * none. An output's chain of additions is the same in one call and in many. numTokenTiles: how many tiles of tokens, whose
 * activations and outputs follow one another, meet the same weights. */
export function matmulTile(format: TileFormat, shape: TileShape, features: Features): FunctionBuilder {
  const { tokens, groups, isUnpacked = false } = shape;
  const numHalves = 2 * groups;
  const fn = new FunctionBuilder(tileName(format.name, shape));
  const { weights, xStart, out, outStride, numRecords, numTiles, bias, residual } = fn.params(
    'weights',
    'xStart',
    'out',
    'outStride',
    'numRecords',
    'numTiles',
    'bias',
    'residual',
  );
  const numTokenTiles = isUnpacked ? fn.param('i32') : undefined;
  const soFar = isUnpacked ? undefined : fn.params('before', 'beforeStride');
  const xs = fn.locals('i32', tokens);
  const secondGroup = fn.local('i32');
  const row = fn.local('i32');
  const records = fn.local('i32');
  const sums = Array.from({ length: tokens }, () => fn.locals('v128', numHalves));
  const zero = fn.constant(f32x4.constant(0));
  const isShared = format.pairStep !== undefined;
  const hasSecond = groups === 2 && !isShared;
  const isAlternating = groups === 1 && isShared;
  const step = fn.local('i32');
  const weightOf = (half: number): I32 => (half < 2 || isShared ? weights : secondGroup);
  const recordBytes = isUnpacked ? unpackedRecordBytes(format) : format.weightRecordBytes * (isShared ? 2 : 1);

  const record = format.emitRecord({
    fn,
    features,
    tokens,
    numHalves,
    xOf: (token) => xs[token]!,
    weightOf,
    vectors: isUnpacked ? new UnpackedVectors(weightOf) : PACKED,
    shared: () => sharedIn(fn, features),
    sums,
  });
  const { scale, unscale } = scaling(fn, format, xStart, sharedIn(fn, features));
  const groupBytes = i32.mul(numRecords, i32.const(recordBytes));
  const code = countDown(
    numTiles,
    ...xs.map((x, m) => x.set(i32.add(xStart, i32.const(m * format.activationBytes)))),
    records.set(numRecords),
    ...(hasSecond ? [secondGroup.set(i32.add(weights, groupBytes))] : []),
    ...sums.flat().map((sum) => sum.set(zero)),
    ...(soFar === undefined ? [] : [goOn(sums, row, { ...soFar, groups }, unscale)]),
    countDown(
      records,
      ...record,
      advance(weights, recordBytes),
      ...(hasSecond ? [advance(secondGroup, recordBytes)] : []),
      ...xs.map((x) => advance(x, tokens * format.activationBytes)),
    ),
    ...sums.flatMap((halves, m) => scale(halves, m)),
    when(bias, ...sums.flatMap((halves) => addRow(halves, bias)), advance(bias, groups * GROUP_OUT_BYTES)),
    when(
      residual,
      row.set(residual),
      ...sums.flatMap((halves) => [...addRow(halves, row), advance(row, outStride)]),
      advance(residual, groups * GROUP_OUT_BYTES),
    ),
    row.set(out),
    ...sums.flatMap((halves) => [...storeRow(row, halves), advance(row, outStride)]),
    // The pointer to the first group has come to the second: the next tile starts after that.
    ...(hasSecond ? [weights.set(secondGroup)] : []),
    // Back to the pair's odd group, and from there to the next pair.
    ...(isAlternating ? [advance(weights, step), step.set(i32.sub(i32.sub(i32.const(0), groupBytes), step))] : []),
    advance(out, groups * GROUP_OUT_BYTES),
  );
  if (isAlternating) fn.emit(step.set(i32.sub(i32.const(format.pairStep!), groupBytes)));
  if (numTokenTiles === undefined) fn.emit(code);
  else {
    const pointers = { again: [weights, numTiles, bias], onward: [out, residual] };
    const tileBytes = i32.mul(outStride, i32.const(tokens));
    fn.emit(...repeat(fn, numTokenTiles, { ...pointers, step: tileBytes }, [code, xStart.set(xs[0]!)]));
  }
  return fn;
}

/** Runs code `count` times. What it changes begins each time as the first, or `step` bytes further on unless it is 0. */
function repeat(
  fn: FunctionBuilder,
  count: Local<'i32'>,
  { again, onward, step }: { again: readonly Local<'i32'>[]; onward: readonly Local<'i32'>[]; step: I32 },
  code: readonly Statement[],
): Statement[] {
  const starts = fn.locals('i32', again.length + onward.length);
  const locals = [...again, ...onward];
  return [
    ...starts.map((start, i) => start.set(locals[i]!)),
    countDown(
      count,
      ...starts.map((start, i) => locals[i]!.set(start)),
      ...code,
      ...starts.slice(again.length).map((start) => when(start, advance(start, step))),
    ),
  ];
}

/** Emits (weights, out, numRecords) -> (): unpacks records of groups that lie one after another. */
export function unpackRecords(format: TileFormat, features: Features): FunctionBuilder {
  const fn = new FunctionBuilder(`unpack_${format.name}`);
  const { weights, out, numRecords } = fn.params('weights', 'out', 'numRecords');
  const { code, byteLength } = unpacking(format, features, fn, weights, out);
  fn.emit(countDown(numRecords, ...code, advance(weights, format.weightRecordBytes), advance(out, byteLength)));
  return fn;
}

export function unpackedRecordBytes(format: TileFormat): number {
  const fn = new FunctionBuilder('');
  const { weights, out } = fn.params('weights', 'out');
  return unpacking(format, { relaxed: false }, fn, weights, out).byteLength;
}

/** Without tokens, a format's code does nothing but take its vectors. */
function unpacking(format: TileFormat, features: Features, fn: FunctionBuilder, weights: I32, out: I32) {
  const vectors = new UnpackingVectors(out);
  const none = (): never => {
    throw new Error(`${format.name}: there are no tokens`);
  };
  const code = format.emitRecord({
    fn,
    features,
    tokens: 0,
    numHalves: 2,
    xOf: none,
    weightOf: () => weights,
    vectors,
    shared: () => sharedVector(fn.locals('v128', 1)),
    sums: [],
  });
  return { code, byteLength: vectors.byteLength };
}

function sharedIn(fn: FunctionBuilder, { isPaired = true }: Features): SharedVector {
  return sharedVector(fn.locals('v128', isPaired ? 2 : 1));
}

function sharedVector(locals: readonly Local<'v128'>[]): SharedVector {
  return {
    set: (value) => locals.map((local) => local.set(value)),
    of: (half) => locals[half % locals.length]!,
  };
}

/** Code that multiplies a token's sums by what is left when all records are added, or divides them. */
type Scale = (halves: readonly Local<'v128'>[], token: number) => readonly Statement[];

/** Whole powers of two: `unscale` brings back exactly what `scale` was given. */
function scaling(
  fn: FunctionBuilder,
  { postscale, unitOffset, activationBytes }: TileFormat,
  x: I32,
  unit: SharedVector,
): { readonly scale: Scale; readonly unscale: Scale } {
  const byPost = (halves: readonly Local<'v128'>[], factor: number): Statement[] =>
    factor === 1 ? [] : halves.map((sum) => sum.set(f32x4.mul(sum, fn.constant(f32x4.constant(factor)))));
  const byUnit = (halves: readonly Local<'v128'>[], token: number, op: typeof f32x4.mul): Statement[] => {
    if (unitOffset === undefined) return [];
    const load = unit.set(v128.load32Splat(x, token * activationBytes + unitOffset));
    return [...load, ...halves.map((sum, half) => sum.set(op(sum, unit.of(half))))];
  };
  return {
    scale: (halves, token) => [...byUnit(halves, token, f32x4.mul), ...byPost(halves, postscale)],
    unscale: (halves, token) => [...byPost(halves, 1 / postscale), ...byUnit(halves, token, f32x4.div)],
  };
}

/** Loads the sums so far, where there are any. */
function goOn(
  sums: readonly (readonly Local<'v128'>[])[],
  row: Local<'i32'>,
  { before, beforeStride, groups }: { before: Local<'i32'>; beforeStride: I32; groups: number },
  unscale: Scale,
): Statement {
  const load = (halves: readonly Local<'v128'>[], token: number): Statement[] => [
    ...halves.map((sum, half) => sum.set(v128.load(row, half * 16))),
    ...unscale(halves, token),
    advance(row, beforeStride),
  ];
  return when(before, row.set(before), ...sums.flatMap(load), advance(before, groups * GROUP_OUT_BYTES));
}

function addRow(halves: readonly Local<'v128'>[], row: I32): Statement[] {
  return halves.map((sum, half) => sum.set(f32x4.add(v128.load(row, half * 16), sum)));
}

function storeRow(row: I32, halves: readonly Local<'v128'>[]): Statement[] {
  return storeVectors(row, halves);
}
