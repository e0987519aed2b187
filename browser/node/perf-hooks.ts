/** `createHistogram` of `node:perf_hooks`, for as many values as a page sees. */

class Histogram {
  readonly #values: number[] = [];

  record(value: number): void {
    this.#values.push(value);
  }

  get count(): number {
    return this.#values.length;
  }

  get mean(): number {
    return this.#values.reduce((sum, value) => sum + value, 0) / this.count;
  }

  get max(): number {
    return this.percentile(100);
  }

  percentile(percent: number): number {
    const sorted = this.#values.toSorted((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil((percent / 100) * this.count) - 1)] ?? 0;
  }
}

export const createHistogram = (): Histogram => new Histogram();
