/** One function: its parameters, its locals and its body. Locals are declared as they are needed. */
import { type Code, FIRST_CALLEE } from './bytes.ts';
import {
  type Expression,
  Local,
  type Statement,
  sequence,
  statement,
  type V128,
  VALUE_TYPES,
  type ValueType,
} from './code.ts';
import { unsignedLeb128 } from './leb128.ts';

const FUNCTION_TYPE = '\x60';
const END = '\x0b';
const CALL = '\x10';
const CALLEES = /[^\0-\xff]/g;

export class FunctionBuilder {
  readonly name: string;
  readonly #paramTypes: ValueType[] = [];
  readonly #localTypes: ValueType[] = [];
  readonly #constants = new Map<string, Local<'v128'>>();
  readonly #callees: string[] = [];
  #prologue: Code = '';
  #body: Code = '';
  #result: Expression<ValueType> | undefined;

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
    const known = this.#constants.get(value.code);
    if (known !== undefined) return known;
    const local = this.local('v128');
    this.#constants.set(value.code, local);
    this.#prologue += local.set(value).code;
    return local;
  }

  emit(...statements: readonly Statement[]): void {
    this.#body += sequence(statements);
  }

  /** Calls another function by its name, one that returns nothing and is in the same module. */
  call(name: string, ...args: readonly Expression<ValueType>[]): Statement {
    if (!this.#callees.includes(name)) this.#callees.push(name);
    const callee = String.fromCharCode(FIRST_CALLEE + this.#callees.indexOf(name));
    return statement(args.map(({ code }) => code).join('') + CALL + callee);
  }

  /** What the function returns; evaluated after the body. */
  returns(result: Expression<ValueType>): void {
    this.#result = result;
  }

  /** The function's type as the type section holds it. */
  get signature(): Code {
    const results = this.#result === undefined ? [] : [this.#result.type];
    return FUNCTION_TYPE + valueTypes(this.#paramTypes) + valueTypes(results);
  }

  /** Locals and body, preceded by their length, as the code section holds them.
   * @param numberOf  a function's place in the module, by its name */
  code(numberOf: (name: string) => number): Code {
    const declarations = this.#localTypes.map((type) => `\x01${VALUE_TYPES[type]}`);
    const body = this.#prologue + this.#body + (this.#result?.code ?? '') + END;
    const numberOfChar = (callee: string): Code =>
      unsignedLeb128(numberOf(this.#callees[callee.charCodeAt(0) - FIRST_CALLEE]!));
    return sized(vector(declarations) + (this.#callees.length === 0 ? body : body.replace(CALLEES, numberOfChar)));
  }
}

/** Code preceded by its length. */
export function sized(code: Code): Code {
  return unsignedLeb128(code.length) + code;
}

/** Items preceded by their number. */
export function vector(items: readonly Code[]): Code {
  return unsignedLeb128(items.length) + items.join('');
}

const valueTypes = (types: readonly ValueType[]): Code => vector(types.map((type) => VALUE_TYPES[type]));
