/** Hands out pieces of one range of addresses: first fit in a list of gaps, kept in order and merged when pieces come
 * back. Knows addresses and lengths only; who grows the memory behind them is told when they reach further than before.
 *
 *   start                                        end       limit
 *   | piece | gap | piece | piece | gap | piece |  (never used yet)  | */

/** Pieces start at multiples of this: a cache line, and any vector's width. */
export const ALIGNMENT = 64;

/** Bytes that a piece of `byteLength` takes. */
export function alignedLength(byteLength: number): number {
  return Math.max(ALIGNMENT, Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT);
}

interface Gap {
  start: number;
  end: number;
}

export class Allocator {
  readonly #limit: number;
  readonly #gaps: Gap[] = [];
  readonly #lengths = new Map<number, number>();
  #end: number;

  /** @param start,limit  multiples of `ALIGNMENT` */
  constructor(start: number, limit: number) {
    this.#end = start;
    this.#limit = limit;
  }

  /** One past the last byte ever handed out. */
  get end(): number {
    return this.#end;
  }

  /** The address of `byteLength` bytes, or undefined when there is no gap of that size. A length of 0 gets an address
   * of its own too. Where the last gap is too small it is extended. */
  allocate(byteLength: number): number | undefined {
    const length = alignedLength(byteLength);
    let index = this.#gaps.findIndex(({ start, end }) => end - start >= length);
    if (index < 0) {
      index = this.#gapAtEnd();
      const { start } = this.#gaps[index]!;
      if (start + length > this.#limit) {
        if (start === this.#end) this.#gaps.pop();
        return undefined;
      }
      this.#end = start + length;
      this.#gaps[index]!.end = this.#end;
    }
    const gap = this.#gaps[index]!;
    const address = gap.start;
    gap.start += length;
    if (gap.start === gap.end) this.#gaps.splice(index, 1);
    this.#lengths.set(address, length);
    return address;
  }

  /** Index of the gap that ends where nothing was ever handed out; an empty one if need be. */
  #gapAtEnd(): number {
    if (this.#gaps.at(-1)?.end !== this.#end) this.#gaps.push({ start: this.#end, end: this.#end });
    return this.#gaps.length - 1;
  }

  /** @throws Error for an address that is not one of a living piece */
  free(address: number): void {
    const length = this.#lengths.get(address);
    if (length === undefined) throw new Error(`nothing is allocated at ${address}`);
    this.#lengths.delete(address);
    const [start, end] = [address, address + length];
    let index = this.#gaps.findIndex((gap) => gap.start > start);
    if (index < 0) index = this.#gaps.length;
    const before = this.#gaps[index - 1];
    const after = this.#gaps[index];
    if (before?.end === start && after?.start === end) {
      before.end = after.end;
      this.#gaps.splice(index, 1);
    } else if (before?.end === start) before.end = end;
    else if (after?.start === end) after.start = start;
    else this.#gaps.splice(index, 0, { start, end });
  }
}
