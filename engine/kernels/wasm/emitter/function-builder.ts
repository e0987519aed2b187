/** One function: its parameters, its locals and its body. Locals are declared as they are needed. */
import {
  type Expression,
  FlatCode,
  flatten,
  Local,
  type Statement,
  type V128,
  VALUE_TYPE_CODES,
  type ValueType,
} from './code.ts';
import { unsignedLeb128 } from './leb128.ts';

export class FunctionBuilder {
  readonly name: string;
  readonly #paramTypes: ValueType[] = [];
  readonly #localTypes: ValueType[] = [];
  readonly #constants = new Map<string, Local<'v128'>>();
  readonly #prologue: Statement[] = [];
  /** Flat from the start: kept as lists, the code of all kernels would take 30 MB. */
  readonly #body = new FlatCode();
  #result: Expression<ValueType> | undefined;
  #code: Uint8Array | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** Parameters come in the order of these calls, and before any local. */
  param<T extends ValueType>(type: T): Local<T> {
    if (this.#localTypes.length > 0) throw new Error(`${this.name}: parameters come before locals`);
    this.#paramTypes.push(type);
    return new Local(type, this.#paramTypes.length - 1);
  }

  /** Parameters of type i32 by name, in this order. */
  params<Name extends string>(...names: readonly Name[]): Readonly<Record<Name, Local<'i32'>>> {
    const entries = names.map((name) => [name, this.param('i32')] as const);
    return Object.fromEntries(entries) as Record<Name, Local<'i32'>>;
  }

  /** Starts as zero. */
  local<T extends ValueType>(type: T): Local<T> {
    this.#localTypes.push(type);
    return new Local(type, this.#paramTypes.length + this.#localTypes.length - 1);
  }

  locals<T extends ValueType>(type: T, count: number): Local<T>[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  /** A vector constant, set once at the function's start: V8 builds a `v128.const` anew wherever it stands, and inside a
   * hot loop that costs more than the arithmetic. Equal constants share a local. */
  constant(value: V128): Local<'v128'> {
    // Nested lists join as if they were flat.
    const key = value.code.join();
    let local = this.#constants.get(key);
    if (local === undefined) {
      local = this.local('v128');
      this.#constants.set(key, local);
      this.#prologue.push(local.set(value));
    }
    return local;
  }

  emit(...statements: readonly Statement[]): void {
    for (const { code } of statements) this.#body.add(code);
  }

  /** What the function returns; evaluated after the body. */
  returns(result: Expression<ValueType>): void {
    this.#result = result;
  }

  /** The function's type as the type section holds it. */
  get signature(): readonly number[] {
    const codes = (types: readonly ValueType[]) => types.map((type) => VALUE_TYPE_CODES[type]);
    const results = this.#result === undefined ? [] : [this.#result.type];
    return [0x60, ...vector(codes(this.#paramTypes)), ...vector(codes(results))];
  }

  /** Locals and body, preceded by their length, as the code section holds them. */
  get code(): Uint8Array {
    this.#code ??= this.#encode();
    return this.#code;
  }

  #encode(): Uint8Array {
    const declarations = this.#localTypes.flatMap((type) => [1, VALUE_TYPE_CODES[type]]);
    const prologue = this.#prologue.map(({ code }) => code);
    const body = flatten([
      unsignedLeb128(this.#localTypes.length),
      declarations,
      prologue,
      this.#body.take(),
      this.#result?.code ?? [],
      0x0b,
    ]);
    return flatten([unsignedLeb128(body.length), body]);
  }
}

/** A list of bytes, preceded by its length. */
export function vector(bytes: readonly number[]): number[] {
  return [...unsignedLeb128(bytes.length), ...bytes];
}
