/** Methods that templates call on a text (`content.strip('\n')`) and that the Jinja package lacks or does otherwise. */
import { unmark } from '../content-marks.ts';
import { type ArgumentValues, optionalText } from './argument-values.ts';
import { capitalize, count, find, type StripSide, strip, title } from './python-strings.ts';
import { pythonStr } from './python-values.ts';
import { integerValue, isArray, type RuntimeValue, stringValue } from './runtime-values.ts';

export interface MethodResult {
  readonly value: RuntimeValue;
  /** Its marks are right as they are. */
  readonly isMarked: boolean;
}

const STRIP_SIDES: ReadonlyMap<string, StripSide> = new Map([
  ['strip', 'both'],
  ['lstrip', 'left'],
  ['rstrip', 'right'],
]);

/** @param text  may hold marks
 *  @returns undefined for a method that is the package's business */
export function callTextMethod(
  method: string,
  text: string,
  readArguments: () => ArgumentValues = () => ({ positional: [], named: new Map() }),
): MethodResult | undefined {
  const side = STRIP_SIDES.get(method);
  if (side !== undefined) {
    return { value: stringValue(strip(text, side, optionalText(readArguments().positional[0]))), isMarked: true };
  }
  switch (method) {
    case 'join': {
      const items = readArguments().positional[0];
      if (items === undefined || !isArray(items)) throw new Error('join() needs a list');
      return { value: stringValue(items.value.map(pythonStr).join(text)), isMarked: true };
    }
    case 'capitalize':
      return { value: stringValue(capitalize(unmark(text))), isMarked: false };
    case 'title':
      return { value: stringValue(title(unmark(text))), isMarked: false };
    case 'find':
      return { value: integerValue(find(unmark(text), requiredText(method, readArguments))), isMarked: false };
    case 'count':
      return { value: integerValue(count(unmark(text), requiredText(method, readArguments))), isMarked: false };
    default:
      return undefined;
  }
}

function requiredText(method: string, readArguments: () => ArgumentValues): string {
  const text = optionalText(readArguments().positional[0]);
  if (text === undefined) throw new Error(`${method}() needs a text`);
  return text;
}
