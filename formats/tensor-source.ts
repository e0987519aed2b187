/** A tensor that is about to be written: what it is at once, its bytes when their turn comes. */
import { InvalidArgumentError } from '../engine/errors.ts';
import { checkShape, formatShape, type Shape } from '../engine/tensor/shape.ts';

type Chunks = Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

export interface TensorSource {
  readonly name: string;
  /** Lower-case type name, as in `StoredTensor`. */
  readonly dtype: string;
  /** Outermost dimension first. */
  readonly shape: Shape;
  /** Called once, in the order of the tensors. The chunks together are the tensor's bytes as the dtype stores them. */
  data(): Chunks | Promise<Chunks>;
}

export type TensorSources = Iterable<TensorSource> | AsyncIterable<TensorSource>;

/** The descriptions of all tensors (a header needs them before the first byte of data). No data is asked for.
 * @throws InvalidArgumentError for an empty name, a name given twice, an impossible shape. */
export async function collectSources(sources: TensorSources): Promise<TensorSource[]> {
  const collected: TensorSource[] = [];
  const names = new Set<string>();
  for await (const source of sources) {
    checkText('tensor name', source.name);
    if (names.has(source.name)) throw new InvalidArgumentError('tensors', `${source.name} is given twice`);
    names.add(source.name);
    checkShape(source.shape);
    collected.push(source);
  }
  return collected;
}

/** A name or key must come back as it was written.
 * @throws InvalidArgumentError when it is empty or holds half a surrogate pair, which UTF-8 cannot carry. */
export function checkText(argument: string, text: string): void {
  if (text === '') throw new InvalidArgumentError(argument, 'must not be empty');
  if (!text.isWellFormed()) throw new InvalidArgumentError(argument, `${JSON.stringify(text)} is not valid Unicode`);
}

/** The chunks of a source, checked to be exactly `byteLength` bytes long in the end.
 * @throws InvalidArgumentError when there are fewer or more. */
export async function* chunksOf(source: TensorSource, byteLength: number): AsyncGenerator<Uint8Array> {
  const data = await source.data();
  let numBytes = 0;
  for await (const chunk of data instanceof Uint8Array ? [data] : data) {
    numBytes += chunk.byteLength;
    if (numBytes > byteLength) break;
    yield chunk;
  }
  if (numBytes !== byteLength) {
    const actual = numBytes > byteLength ? 'more' : `${numBytes}`;
    const what = `${source.dtype} ${formatShape(source.shape)}`;
    throw new InvalidArgumentError(`data of ${source.name}`, `${what} takes ${byteLength} bytes, got ${actual}`);
  }
}
