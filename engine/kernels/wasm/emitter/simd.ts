/** 128-bit SIMD instructions, under the names of the specification. Only those that kernels use; each is checked against
 * plain JavaScript in tests/unit/kernels/wasm/simd.test.ts.
 *
 * A v128 is 16 bytes that each instruction reads in its own way: i8x16, i16x8, i32x4, f32x4, f64x2.
 * Source  WebAssembly specification, section 5.4.8; relaxed SIMD: opcodes 0x100 and up */
import { byteCode, bytesOf, type Code } from './bytes.ts';
import { type Expression, expression, type I32, type Statement, statement, type V128, type ValueType } from './code.ts';
import { unsignedLeb128 } from './leb128.ts';
import { memoryArgument } from './memory-access.ts';
import { i32 } from './scalar.ts';

const simd = (opcode: number): Code => `\xfd${unsignedLeb128(opcode)}`;

function unary(opcode: number): (a: V128) => V128 {
  const instruction = simd(opcode);
  return (a) => expression('v128', a.code + instruction);
}

function binary(opcode: number): (a: V128, b: V128) => V128 {
  const instruction = simd(opcode);
  return (a, b) => expression('v128', a.code + b.code + instruction);
}

function ternary(opcode: number): (a: V128, b: V128, c: V128) => V128 {
  const instruction = simd(opcode);
  return (a, b, c) => expression('v128', a.code + b.code + c.code + instruction);
}

/** Shifts every lane by the same number of bits. */
function shift(opcode: number): (a: V128, bits: number) => V128 {
  const instruction = simd(opcode);
  return (a, bits) => expression('v128', a.code + i32.const(bits).code + instruction);
}

function load(opcode: number): (address: I32, byteOffset?: number) => V128 {
  const instruction = simd(opcode);
  return (address, byteOffset = 0) => expression('v128', address.code + instruction + memoryArgument(byteOffset));
}

function toScalar<T extends ValueType>(type: T, opcode: number): (a: V128) => Expression<T> {
  const instruction = simd(opcode);
  return (a) => expression(type, a.code + instruction);
}

function extractLane<T extends ValueType>(type: T, opcode: number): (a: V128, lane: number) => Expression<T> {
  const instruction = simd(opcode);
  return (a, lane) => expression(type, a.code + instruction + byteCode(lane));
}

function splat<T extends ValueType>(opcode: number): (a: Expression<T>) => V128 {
  const instruction = simd(opcode);
  return (a) => expression('v128', a.code + instruction);
}

const [STORE, CONSTANT, SHUFFLE, BITSELECT] = [simd(11), simd(12), simd(13), simd(82)];

const constant = (lanes: Float64Array | Float32Array | Int32Array | Int16Array | Int8Array): V128 =>
  expression('v128', CONSTANT + bytesOf(lanes));

export const v128 = {
  load: load(0),
  store: (address: I32, value: V128, byteOffset = 0): Statement =>
    statement(address.code + value.code + STORE + memoryArgument(byteOffset)),
  /** One 32-bit number in all lanes. */
  load32Splat: load(9),
  /** One 16-bit number in all lanes. */
  load16Splat: load(8),
  /** One 32-bit number in lane 0, zeros in the others. */
  load32Zero: load(92),
  /** Bytes 0 to 15 are a's, 16 to 31 are b's; `lanes` says which of them make the result. */
  shuffle: (a: V128, b: V128, lanes: readonly number[]): V128 =>
    expression('v128', a.code + b.code + SHUFFLE + bytesOf(Uint8Array.from(lanes))),
  and: binary(78),
  or: binary(80),
  /** 1 when any bit is set, otherwise 0. */
  anyTrue: toScalar('i32', 83),
  /** Bits of `a` where `mask` has ones, bits of `b` elsewhere. */
  bitselect: (a: V128, b: V128, mask: V128): V128 => expression('v128', a.code + b.code + mask.code + BITSELECT),
} as const;

export const i8x16 = {
  splat: (value: number): V128 => constant(new Int8Array(16).fill(value)),
  narrowI16x8S: binary(101),
} as const;

export const i16x8 = {
  splat: (value: number): V128 => constant(new Int16Array(8).fill(value)),
  /** Loads 8 bytes and widens each to a signed lane. */
  load8x8S: load(1),
  /** Loads 8 bytes and widens each to an unsigned lane. */
  load8x8U: load(2),
  add: binary(142),
  mul: binary(149),
  shl: shift(139),
  shrS: shift(140),
  shrU: shift(141),
  narrowI32x4S: binary(133),
  narrowI32x4U: binary(134),
  extendLowI8x16S: unary(135),
  extaddPairwiseI8x16S: unary(124),
  /** As a number from 0 on. */
  extractLaneU: extractLane('i32', 25),
  /** Signed bytes of a times bytes of b from 0 to 127, products of neighbours added: the same for every implementation
   * as long as b stays below 128 and the sum within 16 bits. */
  relaxedDotI8x16I7x16S: binary(0x112),
} as const;

export const i32x4 = {
  splat: (value: number): V128 => constant(new Int32Array(4).fill(value)),
  /** Of a number that is known only when it runs. */
  splatOf: splat<'i32'>(17),
  lanes: (...values: readonly [number, number, number, number]): V128 => constant(Int32Array.from(values)),
  /** Loads 8 bytes and widens each pair to a signed lane. */
  load16x4S: load(3),
  /** Loads 8 bytes and widens each pair to an unsigned lane. */
  load16x4U: load(4),
  add: binary(174),
  sub: binary(177),
  shl: shift(171),
  shrS: shift(172),
  shrU: shift(173),
  maxS: binary(184),
  maxU: binary(185),
  /** All ones where it holds, else zeros. */
  gtS: binary(59),
  extendLowI16x8S: unary(167),
  extendHighI16x8S: unary(168),
  extaddPairwiseI16x8S: unary(126),
  /** Products of signed 16-bit lanes, neighbours added. */
  dotI16x8S: binary(186),
  truncSatF32x4S: unary(248),
  extractLane: extractLane('i32', 27),
} as const;

export const f32x4 = {
  constant: (value: number): V128 => constant(new Float32Array(4).fill(value)),
  splat: splat<'f32'>(19),
  extractLane: extractLane('f32', 31),
  add: binary(228),
  sub: binary(229),
  mul: binary(230),
  div: binary(231),
  max: binary(233),
  /** `b` where b < a, otherwise `a`: a NaN in `b` is passed over, one in `a` stays. */
  pmin: binary(234),
  /** `b` where a < b, otherwise `a`: likewise. */
  pmax: binary(235),
  abs: unary(224),
  neg: unary(225),
  /** All ones where it holds, else zeros. */
  ne: binary(66),
  gt: binary(68),
  ge: binary(70),
  /** Rounds to the whole number next to 0. */
  trunc: unary(105),
  /** Rounds to the nearest whole number, ties to even. */
  nearest: unary(106),
  convertI32x4S: unary(250),
  /** a * b + c, with one rounding or two as the machine likes. */
  relaxedMadd: ternary(0x105),
} as const;

export const i64x2 = {
  shl: shift(203),
} as const;

export const f64x2 = {
  constant: (value: number): V128 => constant(Float64Array.of(value, value)),
  splat: splat<'f64'>(20),
  add: binary(240),
  sub: binary(241),
  mul: binary(242),
  /** As of f32x4. */
  pmax: binary(247),
  /** a * b + c, with one rounding or two as the machine likes. */
  relaxedMadd: ternary(0x107),
  promoteLowF32x4: unary(95),
  extractLane: extractLane('f64', 33),
} as const satisfies Record<string, (...args: never[]) => Expression<'v128' | 'f64'>>;
