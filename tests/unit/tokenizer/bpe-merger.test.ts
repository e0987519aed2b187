import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BpeMerger, type MergeRules } from '../../../engine/tokenizer/bpe-merger.ts';
import { PairTable } from '../../../engine/tokenizer/pair-table.ts';

type Rule = readonly [left: number, right: number, rank: number, merged: number];

function table(rules: readonly Rule[]): PairTable {
  const pairs = new PairTable(rules.length);
  for (const rule of rules) pairs.add(...rule);
  return pairs;
}

function merge(symbols: readonly number[], rules: MergeRules): number[] {
  const buffer = Int32Array.from(symbols);
  return [...buffer.subarray(0, new BpeMerger(rules).merge(buffer, symbols.length))];
}

/** The textbook loop: scan for the best pair, merge its leftmost occurrence, repeat. */
function mergeNaively(symbols: readonly number[], rules: readonly Rule[]): number[] {
  const left = [...symbols];
  for (;;) {
    let best: { at: number; rule: Rule } | undefined;
    for (let at = 0; at + 1 < left.length; at++) {
      const rule = rules.find(([a, b]) => a === left[at] && b === left[at + 1]);
      if (rule !== undefined && (best === undefined || rule[2] < best.rule[2])) best = { at, rule };
    }
    if (best === undefined) return left;
    left.splice(best.at, 2, best.rule[3]);
  }
}

/** Counts what the merger asks for: the cost of merging, whatever the machine. */
class CountingRules implements MergeRules {
  numLookups = 0;
  readonly #pairs: PairTable;

  constructor(pairs: PairTable) {
    this.#pairs = pairs;
  }

  find(left: number, right: number): number {
    this.numLookups++;
    return this.#pairs.find(left, right);
  }

  rank(slot: number): number {
    return this.#pairs.rank(slot);
  }

  merged(slot: number): number {
    return this.#pairs.merged(slot);
  }
}

const symbol = fc.integer({ min: 0, max: 7 });
const distinctPairs = fc.uniqueArray(fc.tuple(symbol, symbol, fc.integer({ min: 0, max: 5 }), symbol), {
  selector: ([left, right]) => left * 8 + right,
  maxLength: 24,
});

describe('BpeMerger', () => {
  it('merges the best rank first and, of equal ranks, the leftmost', () => {
    const [a, b, ab, aa] = [0, 1, 2, 3];
    expect(merge([a, a, a], table([[a, a, 0, aa]]))).toEqual([aa, a]);
    expect(
      merge(
        [a, a, b],
        table([
          [a, a, 1, aa],
          [a, b, 0, ab],
        ]),
      ),
    ).toEqual([a, ab]);
    expect(
      merge(
        [a, a, b],
        table([
          [a, a, 0, aa],
          [a, b, 0, ab],
        ]),
      ),
    ).toEqual([aa, b]);
  });

  it('leaves no symbols, one symbol and negative symbols alone', () => {
    const rules = table([[0, 0, 0, 1]]);
    expect(merge([], rules)).toEqual([]);
    expect(merge([0], rules)).toEqual([0]);
    expect(merge([0, -5, 0, 0], rules)).toEqual([0, -5, 1]);
  });

  it('agrees with the textbook loop on any rules, ties and cycles of merging included', () => {
    fc.assert(
      fc.property(fc.array(symbol, { maxLength: 40 }), distinctPairs, (symbols, rules) => {
        expect(merge(symbols, table(rules))).toEqual(mergeNaively(symbols, rules));
      }),
    );
  });

  it('reuses its buffers without a trace of earlier, longer pieces', () => {
    const merger = new BpeMerger(
      table([
        [0, 0, 0, 1],
        [1, 1, 1, 2],
      ]),
    );
    const long = new Int32Array(5000);
    expect(merger.merge(long, 5000)).toBe(1250);
    const short = Int32Array.of(0, 0, 0, 0, 0);
    expect([...short.subarray(0, merger.merge(short, 5))]).toEqual([2, 0]);
  });

  it('asks for at most 3 rules per symbol, however hostile the piece', () => {
    // One letter a million times, with rules that join ever longer runs: the worst case for the scanning loop.
    const rules = new CountingRules(table(Array.from({ length: 20 }, (_, i): Rule => [i, i, i, i + 1])));
    const count = 2 ** 20;
    expect(new BpeMerger(rules).merge(new Int32Array(count), count)).toBe(1);
    expect(rules.numLookups).toBeLessThanOrEqual(3 * count);
  });
});
