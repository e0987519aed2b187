/** The vocabulary in which `check-args.ts` states each op's rules: shapes by letter, dtypes, aliasing, numbers.
 * Looks at tensors as views only; never at their bytes. */
import { InvalidArgumentError, ShapeError, UnsupportedError } from '../errors.ts';
import { type DType, isFloatDType } from '../tensor/dtype.ts';
import { formatShape, sameShape } from '../tensor/shape.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** The letters of one op call and the size each has, bound by the first tensor that uses it.
 *
 *   const sizes = new ShapeLetters('matmul');
 *   sizes.bind('x', x, ['T', 'K']);
 *   sizes.bind('weight', weight, ['N', 'K']);     K must be what x said */
export class ShapeLetters {
  readonly #op: string;
  readonly #sizes = new Map<string, number>();

  constructor(op: string) {
    this.#op = op;
  }

  /** @throws ShapeError when the rank differs or a letter already has another size. */
  bind(name: string, tensor: Tensor, letters: readonly string[]): void {
    expectTensor(this.#op, name, tensor);
    const { shape } = tensor;
    const fits =
      shape.length === letters.length &&
      letters.every((letter, i) => (this.#sizes.get(letter) ?? shape[i]) === shape[i]);
    if (!fits) throw new ShapeError(this.#op, `${name} ${this.#describe(letters)}`, formatShape(shape));
    letters.forEach((letter, i) => {
      this.#sizes.set(letter, shape[i]!);
    });
  }

  /** The size of a letter that some tensor has bound. */
  size(letter: string): number {
    return this.#sizes.get(letter)!;
  }

  /** `[T, K=64]`: letters, with the sizes that are already known. */
  #describe(letters: readonly string[]): string {
    const known = (letter: string) => (this.#sizes.has(letter) ? `${letter}=${this.size(letter)}` : letter);
    return `[${letters.map(known).join(', ')}]`;
  }
}

/** @throws InvalidArgumentError for a missing argument, which only callers without types can bring about. */
export function expectTensor(op: string, name: string, tensor: Tensor): void {
  if (tensor?.shape === undefined) throw new InvalidArgumentError(`${op} ${name}`, `must be a tensor, got ${tensor}`);
}

/** @throws UnsupportedError unless the tensor has one of the dtypes. */
export function expectDType(op: string, name: string, tensor: Tensor, dtypes: readonly DType[]): void {
  if (dtypes.includes(tensor.dtype)) return;
  throw new UnsupportedError(`${op} with ${name} of ${tensor.dtype}`, `it must be ${dtypes.join(' or ')}`, {
    op,
    dtype: tensor.dtype,
  });
}

/** @throws UnsupportedError for an integer tensor. Any float format will do for a weight. */
export function expectWeight(op: string, name: string, tensor: Tensor): void {
  if (isFloatDType(tensor.dtype)) return;
  throw new UnsupportedError(`${op} with ${name} of ${tensor.dtype}`, 'a weight must have a float dtype', {
    op,
    dtype: tensor.dtype,
  });
}

/** `out` must not touch the memory of an input: the op would read what it has just written. */
export function expectApart(op: string, out: Tensor, name: string, input: Tensor): void {
  if (overlap(out, input)) {
    throw new InvalidArgumentError(`${op} out`, `overlaps ${name}, which the op still reads`, { op, input: name });
  }
}

/** `out` may be the input itself, element on element, but must not overlap it in any other way. */
export function expectSameOrApart(op: string, out: Tensor, name: string, input: Tensor): void {
  const same = out.byteOffset === input.byteOffset && sameShape(out.shape, input.shape);
  if (!same) expectApart(op, out, name, input);
}

function overlap(a: Tensor, b: Tensor): boolean {
  if (a.buffer !== b.buffer) return false;
  return a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
}

/** @throws InvalidArgumentError unless `value` is a finite number for which `rule` holds. */
export function expectNumber(what: string, value: number, rule: string, holds: (value: number) => boolean): void {
  if (typeof value === 'number' && Number.isFinite(value) && holds(value)) return;
  throw new InvalidArgumentError(what, `must be ${rule}, got ${value}`, { value });
}
