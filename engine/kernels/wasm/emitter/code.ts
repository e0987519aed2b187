/** The pieces that kernels are written with: typed expressions and statements, each holding its own machine code.
 *
 * WebAssembly is a stack machine: an instruction's operands come before it. Nested function calls in TypeScript give
 * that order for free:
 *
 *   i32.add(p, i32.const(4))   ->   20 00   41 04   6a
 *                                   get p   const 4 add
 *
 * The type parameter makes `f32x4.add` of an i32 a compile error here, not a validation error at load time. */
import type { Code } from './bytes.ts';
import { unsignedLeb128 } from './leb128.ts';

export type ValueType = 'i32' | 'f32' | 'f64' | 'v128';

/** Section 5.3.1 and 5.3.2 of the specification. */
export const VALUE_TYPES: Readonly<Record<ValueType, string>> = { i32: '\x7f', f32: '\x7d', f64: '\x7c', v128: '\x7b' };

/** Code that leaves one value of type T on the stack. */
export interface Expression<T extends ValueType> {
  readonly type: T;
  readonly code: Code;
}

/** Code that leaves nothing on the stack. */
export interface Statement {
  readonly type: 'statement';
  readonly code: Code;
}

export type I32 = Expression<'i32'>;
export type F32 = Expression<'f32'>;
export type F64 = Expression<'f64'>;
export type V128 = Expression<'v128'>;

export function expression<T extends ValueType>(type: T, code: Code): Expression<T> {
  return { type, code };
}

export function statement(code: Code): Statement {
  return { type: 'statement', code };
}

const [GET, SET, TEE] = ['\x20', '\x21', '\x22'];

/** A parameter or local variable; as an expression, its value. */
export class Local<T extends ValueType> implements Expression<T> {
  readonly type: T;
  readonly code: Code;
  readonly #index: Code;

  constructor(type: T, index: number) {
    this.type = type;
    this.#index = unsignedLeb128(index);
    this.code = GET + this.#index;
  }

  set(value: Expression<T>): Statement {
    return statement(value.code + SET + this.#index);
  }

  /** Sets the variable and is its new value. */
  tee(value: Expression<T>): Expression<T> {
    return expression(this.type, value.code + TEE + this.#index);
  }
}

/** One statement after the other. */
export function sequence(body: readonly Statement[]): Code {
  let code = '';
  for (const each of body) code += each.code;
  return code;
}
