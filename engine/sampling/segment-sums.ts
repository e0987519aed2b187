/** The denominator of one softmax, cut into segments of the vocabulary: what the op `softmaxSums` puts out for one row and
 * temperature. All weights here are e^((logit - max) / temperature), max being the row's highest logit.
 *
 *   tokens   0 ......... 511 | 512 ...... 1023 | 1024 ... | ...
 *   segment         0        |        1        |    2     |         each (max, high, low) */
const PARTS = 3;

/** Tokens per segment: what one draw looks at singly, beside one sum per segment. */
export const SEGMENT_SIZE = 512;

export function numSegments(vocabSize: number): number {
  return Math.ceil(vocabSize / SEGMENT_SIZE);
}

/** Values per row and temperature. */
export function segmentSumsLength(vocabSize: number): number {
  return PARTS * numSegments(vocabSize);
}

export class SegmentSums {
  readonly temperature: number;
  /** The row's highest logit; not finite when nothing can be said. */
  readonly max: number;
  readonly #values: Float32Array;

  /** @param values  [numSegments, 3], as the op left them; must stay as long as this object is in use */
  constructor(values: Float32Array, temperature: number) {
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < values.length; i += PARTS) if (values[i]! > max) max = values[i]!;
    this.temperature = temperature;
    this.max = max;
    this.#values = values;
  }

  get length(): number {
    return this.#values.length / PARTS;
  }

  /** The weights of a segment's tokens together. */
  weightOf(segment: number): number {
    const values = this.#values;
    const sum = values[PARTS * segment + 1]! + values[PARTS * segment + 2]!;
    return sum === 0 ? 0 : sum * this.weightOfLogit(values[PARTS * segment]!);
  }

  weightOfLogit(logit: number): number {
    return logit === this.max ? 1 : Math.exp((logit - this.max) / this.temperature);
  }

  /** The weights of all tokens together. */
  total(): number {
    let total = 0;
    for (let segment = 0; segment < this.length; segment++) total += this.weightOf(segment);
    return total;
  }
}
