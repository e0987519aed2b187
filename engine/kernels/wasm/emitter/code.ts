/** The pieces that kernels are written with: typed expressions and statements, each holding its own machine code.
 *
 * WebAssembly is a stack machine: an instruction's operands come before it. Nested function calls in TypeScript give
 * that order for free:
 *
 *   i32.add(p, i32.const(4))   ->   20 00   41 04   6a
 *                                   get p   const 4 add
 *
 * The type parameter makes `f32x4.add` of an i32 a compile error here, not a validation error at load time. */
import { unsignedLeb128 } from './leb128.ts';

export type ValueType = 'i32' | 'f32' | 'f64' | 'v128';

/** Section 5.3.1 and 5.3.2 of the specification. */
export const VALUE_TYPE_CODES: Readonly<Record<ValueType, number>> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b };

/** Bytes in nested lists: pieces of code are put together by reference and flattened once, at the end. */
export type Code = readonly (number | Code)[] | Uint8Array;

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

export function expression<T extends ValueType>(type: T, ...code: readonly (number | Code)[]): Expression<T> {
  return { type, code };
}

export function statement(...code: readonly (number | Code)[]): Statement {
  return { type: 'statement', code };
}

/** A parameter or local variable; as an expression, its value. */
export class Local<T extends ValueType> implements Expression<T> {
  readonly type: T;
  readonly code: Code;
  readonly #index: Code;

  constructor(type: T, index: number) {
    this.type = type;
    this.#index = unsignedLeb128(index);
    this.code = [0x20, this.#index];
  }

  set(value: Expression<T>): Statement {
    return statement(value.code, 0x21, this.#index);
  }

  /** Sets the variable and is its new value. */
  tee(value: Expression<T>): Expression<T> {
    return expression(this.type, value.code, 0x22, this.#index);
  }
}

/** The bytes of nested lists, one after the other. */
export function flatten(code: Code): Uint8Array<ArrayBuffer> {
  const bytes = new FlatCode();
  bytes.add(code);
  return bytes.take();
}

/** Code that grows at its end. Hundreds of kilobytes are put together at every start of an engine, so this is written to
 * be quick. */
export class FlatCode {
  #bytes = new Uint8Array(64);
  #length = 0;

  add(code: Code): void {
    if (code instanceof Uint8Array) {
      this.#makeRoom(code.length);
      this.#bytes.set(code, this.#length);
      this.#length += code.length;
      return;
    }
    this.#makeRoom(code.length);
    for (const piece of code) {
      if (typeof piece !== 'number') this.add(piece);
      else {
        // A piece before this one may have taken the room.
        if (this.#length === this.#bytes.length) this.#makeRoom(1);
        this.#bytes[this.#length++] = piece;
      }
    }
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #makeRoom(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
