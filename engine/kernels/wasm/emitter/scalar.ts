/** Scalar instructions, under the names of the specification. Only those that kernels use.
 * Source  WebAssembly specification, section 5.4.7 (numeric) and 5.4.6 (memory) */
import { byteCode, bytesOf } from './bytes.ts';
import {
  type Expression,
  expression,
  type F32,
  type F64,
  type I32,
  type Statement,
  statement,
  type ValueType,
} from './code.ts';
import { signedLeb128 } from './leb128.ts';
import { memoryArgument } from './memory-access.ts';

function binary<A extends ValueType, R extends ValueType>(result: R, opcode: number) {
  const instruction = byteCode(opcode);
  return (a: Expression<A>, b: Expression<A>): Expression<R> => expression(result, a.code + b.code + instruction);
}

function unary<A extends ValueType, R extends ValueType>(result: R, opcode: number) {
  const instruction = byteCode(opcode);
  return (a: Expression<A>): Expression<R> => expression(result, a.code + instruction);
}

function load<R extends ValueType>(result: R, opcode: number) {
  const instruction = byteCode(opcode);
  return (address: I32, byteOffset = 0): Expression<R> =>
    expression(result, address.code + instruction + memoryArgument(byteOffset));
}

function store<A extends ValueType>(opcode: number) {
  const instruction = byteCode(opcode);
  return (address: I32, value: Expression<A>, byteOffset = 0): Statement =>
    statement(address.code + value.code + instruction + memoryArgument(byteOffset));
}

const [I32_CONST, F32_CONST, F64_CONST] = ['\x41', '\x43', '\x44'];
const SELECT = '\x1b';

export const i32 = {
  const: (value: number): I32 => expression('i32', I32_CONST + signedLeb128(value)),
  add: binary<'i32', 'i32'>('i32', 0x6a),
  sub: binary<'i32', 'i32'>('i32', 0x6b),
  mul: binary<'i32', 'i32'>('i32', 0x6c),
  and: binary<'i32', 'i32'>('i32', 0x71),
  or: binary<'i32', 'i32'>('i32', 0x72),
  shl: binary<'i32', 'i32'>('i32', 0x74),
  shrU: binary<'i32', 'i32'>('i32', 0x76),
  divU: binary<'i32', 'i32'>('i32', 0x6e),
  remU: binary<'i32', 'i32'>('i32', 0x70),
  eq: binary<'i32', 'i32'>('i32', 0x46),
  ltU: binary<'i32', 'i32'>('i32', 0x49),
  geU: binary<'i32', 'i32'>('i32', 0x4f),
  select: (ifTrue: I32, ifFalse: I32, condition: I32): I32 =>
    expression('i32', ifTrue.code + ifFalse.code + condition.code + SELECT),
  load: load('i32', 0x28),
  load8U: load('i32', 0x2d),
  load16U: load('i32', 0x2f),
  store: store<'i32'>(0x36),
  store8: store<'i32'>(0x3a),
  store16: store<'i32'>(0x3b),
} as const;

export const f32 = {
  const: (value: number): F32 => expression('f32', F32_CONST + bytesOf(Float32Array.of(value))),
  add: binary<'f32', 'f32'>('f32', 0x92),
  sub: binary<'f32', 'f32'>('f32', 0x93),
  mul: binary<'f32', 'f32'>('f32', 0x94),
  div: binary<'f32', 'f32'>('f32', 0x95),
  max: binary<'f32', 'f32'>('f32', 0x97),
  ne: binary<'f32', 'i32'>('i32', 0x5c),
  gt: binary<'f32', 'i32'>('i32', 0x5e),
  sqrt: unary<'f32', 'f32'>('f32', 0x91),
  load: load('f32', 0x2a),
  store: store<'f32'>(0x38),
} as const;

export const f64 = {
  const: (value: number): F64 => expression('f64', F64_CONST + bytesOf(Float64Array.of(value))),
  add: binary<'f64', 'f64'>('f64', 0xa0),
  promoteF32: unary<'f32', 'f64'>('f64', 0xbb),
} as const;
