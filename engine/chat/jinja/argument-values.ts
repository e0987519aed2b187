/** The arguments of a call in a template, evaluated. */
import { unmark } from '../content-marks.ts';
import { isString, type RuntimeValue } from './runtime-values.ts';

export interface ArgumentValues {
  readonly positional: readonly RuntimeValue[];
  readonly named: ReadonlyMap<string, RuntimeValue>;
}

/** A text without its marks. None, like anything that is no text, counts as absent. */
export function optionalText(value: RuntimeValue | undefined): string | undefined {
  return value !== undefined && isString(value) ? unmark(value.value) : undefined;
}
