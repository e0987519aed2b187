/** The values that the Jinja interpreter computes with, as this folder handles them. The package exports the interpreter
 * but not its value classes, so they are taken from values that it makes. Must not know what a template does. */
import { Environment, type RuntimeValue } from './package.ts';

export type { RuntimeValue };
export type StringValue = RuntimeValue & { readonly value: string };
export type ArrayValue = RuntimeValue & { readonly value: readonly RuntimeValue[] };
export type ObjectValue = RuntimeValue & {
  readonly value: ReadonlyMap<string, RuntimeValue>;
  keys(): ArrayValue;
};

type Constructor<Input, Output> = new (value: Input) => Output;

/** Any JSON value, or a function of JSON values, as the interpreter's value. */
export function toRuntimeValue(value: unknown): RuntimeValue {
  return new Environment().set('value', value);
}

const STRING = toRuntimeValue('').constructor as Constructor<string, StringValue>;
const BOOLEAN = toRuntimeValue(true).constructor as Constructor<boolean, RuntimeValue>;
const INTEGER = toRuntimeValue(0).constructor as Constructor<number, RuntimeValue>;
const ARRAY = toRuntimeValue([]).constructor as Constructor<readonly RuntimeValue[], ArrayValue>;
const OBJECT = toRuntimeValue({}).constructor as Constructor<Map<string, RuntimeValue>, ObjectValue>;

export function stringValue(text: string): StringValue {
  return new STRING(text);
}

export function booleanValue(value: boolean): RuntimeValue {
  return new BOOLEAN(value);
}

export function integerValue(value: number): RuntimeValue {
  return new INTEGER(value);
}

export function arrayValue(items: readonly RuntimeValue[]): ArrayValue {
  return new ARRAY(items);
}

export function objectValue(entries: Map<string, RuntimeValue>): ObjectValue {
  return new OBJECT(entries);
}

export function isString(value: RuntimeValue): value is StringValue {
  return value instanceof STRING;
}

/** Lists and tuples. */
export function isArray(value: RuntimeValue): value is ArrayValue {
  return value instanceof ARRAY;
}

export function isObject(value: RuntimeValue): value is ObjectValue {
  return value instanceof OBJECT;
}

/** A number as Python compares it: True is 1. Undefined for what is no number. */
export function numberOf(value: RuntimeValue): number | undefined {
  switch (value.type) {
    case 'IntegerValue':
    case 'FloatValue':
      return value.value as number;
    case 'BooleanValue':
      return value.value === true ? 1 : 0;
    default:
      return undefined;
  }
}
