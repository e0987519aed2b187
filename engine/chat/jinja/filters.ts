/** Filters (`content | trim`) and tests (`x is iterable`) that the Jinja package lacks or does otherwise.
 * Source: the Jinja documentation, "List of Builtin Filters" and "List of Builtin Tests". */
import { unmark } from '../content-marks.ts';
import { type ArgumentValues, optionalText } from './argument-values.ts';
import { strip } from './python-strings.ts';
import { pythonStr } from './python-values.ts';
import {
  arrayValue,
  integerValue,
  isArray,
  isObject,
  isString,
  numberOf,
  type RuntimeValue,
  stringValue,
  toRuntimeValue,
} from './runtime-values.ts';

/** @returns undefined for a filter that is the package's business. What is returned has its marks. */
export function applyFilter(
  name: string,
  operand: RuntimeValue,
  readArguments: () => ArgumentValues,
): RuntimeValue | undefined {
  switch (name) {
    case 'trim':
      return stringValue(strip(pythonStr(operand), 'both', optionalText(readArguments().positional[0])));
    case 'string':
      return stringValue(pythonStr(operand));
    case 'default':
    case 'd':
      return orDefault(operand, readArguments());
    case 'length':
    case 'count':
      return lengthOf(operand);
    case 'first':
      return isArray(operand) ? (operand.value[0] ?? toRuntimeValue(undefined)) : undefined;
    case 'last':
      return isArray(operand) ? (operand.value.at(-1) ?? toRuntimeValue(undefined)) : undefined;
    case 'list':
      return isObject(operand) ? operand.keys() : operand.type === 'UndefinedValue' ? arrayValue([]) : undefined;
    case 'join':
      return joined(operand, readArguments);
    default:
      return undefined;
  }
}

function orDefault(operand: RuntimeValue, { positional, named }: ArgumentValues): RuntimeValue {
  const isForFalsy = (positional[1] ?? named.get('boolean'))?.__bool__().value === true;
  const isWanted = operand.type === 'UndefinedValue' || (isForFalsy && !operand.__bool__().value);
  return isWanted ? (positional[0] ?? named.get('default_value') ?? stringValue('')) : operand;
}

function lengthOf(operand: RuntimeValue): RuntimeValue | undefined {
  if (isString(operand)) return integerValue([...unmark(operand.value)].length);
  if (isArray(operand)) return integerValue(operand.value.length);
  if (isObject(operand)) return integerValue(operand.value.size);
  return operand.type === 'UndefinedValue' ? integerValue(0) : undefined;
}

function joined(operand: RuntimeValue, readArguments: () => ArgumentValues): RuntimeValue | undefined {
  if (!isArray(operand)) return undefined;
  const { positional, named } = readArguments();
  if (positional.length > 1 || named.has('attribute')) throw new Error('join() by attribute is not known');
  const separator = positional[0] ?? named.get('d');
  return stringValue(operand.value.map(pythonStr).join(separator === undefined ? '' : pythonStr(separator)));
}

/** @returns undefined for a test that is the package's business */
export function applyTest(name: string, operand: RuntimeValue): boolean | undefined {
  switch (name) {
    case 'iterable':
    case 'sequence':
      return isString(operand) || isArray(operand) || isObject(operand) || operand.type === 'UndefinedValue';
    case 'number':
      return numberOf(operand) !== undefined;
    default:
      return undefined;
  }
}
