/** Turns the words of the command line into checked values. A wrong word gives one line that names the option. */
import { InvalidArgumentError as CommanderArgumentError } from 'commander';

/** A whole number within bounds. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(value) || value < min || value > max) {
      const range = max === Number.MAX_SAFE_INTEGER && !(value > max) ? `from ${min}` : `from ${min} to ${max}`;
      throw new CommanderArgumentError(`Expected a whole number ${range}.`);
    }
    return value;
  };
}

/** A finite decimal number; its range is the business of whoever uses it. */
export function decimalNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new CommanderArgumentError('Expected a number.');
  return value;
}

/** `1,4,16` or `1 4 16` as whole numbers within bounds. */
export function wholeNumberList(min: number, max?: number): (text: string) => number[] {
  const parse = wholeNumber(min, max);
  return (text) =>
    text
      .trim()
      .split(/\s*,\s*|\s+/)
      .map(parse);
}

/** `1,403,407` as token ids. */
export const tokenIdList = wholeNumberList(0, 2 ** 31 - 1);

/** `403=-1.5`, repeated, as biases by token id. */
export function logitBias(text: string, previous: LogitBias | undefined): LogitBias {
  const [, id, bias] = /^\s*(\d+)\s*=([^=]+)$/.exec(text) ?? [];
  if (id === undefined) throw new CommanderArgumentError('Expected a token id and a number, as in 403=-1.5.');
  return { ...previous, [String(wholeNumber(0)(id))]: decimalNumber(bias!) };
}

export type LogitBias = Readonly<Record<string, number>>;

/** Gathers a repeated option into a list. */
export function collect(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), text];
}
