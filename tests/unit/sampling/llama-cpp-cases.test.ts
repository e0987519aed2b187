/** llama.cpp's own sampling cases (tests/test-sampling.cpp), read from their source text. */
import { describe, expect, it } from 'vitest';
import type { Candidates } from '../../../engine/sampling/candidates.ts';
import type { LogitsProcessor } from '../../../engine/sampling/logits-processor.ts';
import { MinPProcessor } from '../../../engine/sampling/processors/min-p.ts';
import { PenaltiesProcessor } from '../../../engine/sampling/processors/penalties.ts';
import { TemperatureProcessor } from '../../../engine/sampling/processors/temperature.ts';
import { TopKProcessor } from '../../../engine/sampling/processors/top-k.ts';
import { TopNSigmaProcessor } from '../../../engine/sampling/processors/top-n-sigma.ts';
import { TopPProcessor } from '../../../engine/sampling/processors/top-p.ts';
import { TypicalProcessor } from '../../../engine/sampling/processors/typical.ts';
import { XtcProcessor } from '../../../engine/sampling/processors/xtc.ts';
import { fixturePath, hasFixtures, readJson, skipNote } from '../../helpers/fixtures.ts';
import { candidatesOf, contextOf, idsOf } from './naive-sampling.ts';

interface Case {
  readonly fn: string;
  readonly args_source: string;
}

type Argument = number | string | readonly Argument[];

const SKIPPED: Readonly<Record<string, string>> = {
  temp_ext: 'dynamic temperature is not implemented',
  dry: 'the DRY penalty is not implemented',
  perf: 'a benchmark, not a case',
};

const cases: Case[] = hasFixtures ? await readJson(fixturePath('cases/sampling_cases.json')) : [];

/** `{0.4f/0.9f, 0.3f}, "kp", 3` as nested arrays of numbers and strings; `f` marks float32. */
function parseArguments(source: string): Argument[] {
  const json = source
    .replaceAll('{', '[')
    .replaceAll('}', ']')
    .replaceAll(/([\d.]+)f?\/([\d.]+)f?/g, (_, a, b) => String(Math.fround(Number(a) / Number(b))))
    .replaceAll(/(\d+\.\d+)f/g, (_, digits) => String(Math.fround(Number(digits))));
  return JSON.parse(`[${json}]`);
}

function fromProbs(probs: readonly number[]): Candidates {
  return candidatesOf(probs.map((prob) => Math.log(prob)));
}

/** What can still be chosen, likeliest first: the cases are written that way. Renormalized, or the input's probabilities. */
function survivors(candidates: Candidates, inputProbs?: readonly number[]): number[] {
  candidates.softmax();
  const left = idsOf(candidates).filter((_, place) => candidates.probs[place]! > 0);
  const probs = left.map((id) => inputProbs?.[id] ?? candidates.probs[candidates.placeOf(id)]!);
  return probs.sort((a, b) => b - a);
}

/** Within 1e-5 place by place, as llama.cpp checks it; what one side does not list is 0. */
function expectClose(actual: readonly number[], expected: readonly number[]): void {
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    expect(Math.abs((actual[i] ?? 0) - (expected[i] ?? 0))).toBeLessThan(1e-5);
  }
}

type Check = (...args: never[]) => void;

function checkFilter(make: (value: number) => LogitsProcessor | undefined): Check {
  return (probs: readonly number[], expected: readonly number[], value: number) => {
    const candidates = fromProbs(probs);
    make(value)?.apply(candidates, contextOf());
    expectClose(survivors(candidates), expected);
  };
}

const CHECKS: Readonly<Record<string, Check>> = {
  temp: checkFilter((temperature) => new TemperatureProcessor(temperature)),
  top_k: checkFilter((k) => (k === 0 ? undefined : new TopKProcessor(k))), // 0 is off: the chain leaves it out
  top_p: checkFilter((p) => new TopPProcessor(p)),
  min_p: checkFilter((p) => new MinPProcessor(p)),
  top_n_sigma: checkFilter((n) => new TopNSigmaProcessor(n)),
  typical: (probs: readonly number[], expected: readonly number[], p: number) => {
    const candidates = fromProbs(probs);
    new TypicalProcessor(p).apply(candidates);
    expectClose(survivors(candidates, probs), expected);
  },
  xtc: (probs: readonly number[], expected: readonly number[], _probability: number, threshold: number) => {
    const candidates = fromProbs(probs);
    new XtcProcessor(1, threshold).apply(candidates, contextOf()); // always, rather than 99 times in 100
    expectClose(survivors(candidates, probs), expected);
  },
  penalties: (probs: readonly number[], last: readonly number[], expected: readonly number[], ...p: number[]) => {
    const [repetition, frequency, presence] = p as [number, number, number];
    const candidates = fromProbs(probs);
    new PenaltiesProcessor({ repetition, frequency, presence, lastN: -1 }).apply(candidates, contextOf(last));
    expectClose(survivors(candidates), expected);
  },
  sampler_queue: checkQueue,
};

/** Token t has weight t, so after any mix of filters the tokens left are the highest ones, from some id upward. */
function checkQueue(vocabSize: number, sequence: string, topK: number, topP: number, minP: number): void {
  const candidates = candidatesOf(Array.from({ length: vocabSize }, (_, id) => Math.log(id)));
  let lowest = 0;
  for (const letter of sequence) {
    if (letter === 'k') {
      new TopKProcessor(topK).apply(candidates);
      lowest = Math.max(lowest, vocabSize - topK);
    } else if (letter === 'p' && topP < 1) {
      new TopPProcessor(topP).apply(candidates);
      let total = 0;
      for (let id = lowest; id < vocabSize; id++) total += id;
      lowest = vocabSize;
      for (let mass = 0; mass < topP * total || lowest === vocabSize; mass += lowest) lowest -= 1;
    } else if (letter === 'm') {
      new MinPProcessor(minP).apply(candidates);
      lowest = Math.max(lowest, Math.ceil(minP * (vocabSize - 1) * (1 - 1e-9)));
    }
    expect(idsOf(candidates)).toEqual(Array.from({ length: vocabSize - lowest }, (_, i) => lowest + i));
  }
}

describe.skipIf(!hasFixtures)(`llama.cpp's sampling cases${skipNote}`, () => {
  it('knows every function there is a case for', () => {
    const unknown = cases.filter(({ fn }) => !(fn in CHECKS) && !(fn in SKIPPED));
    expect(unknown).toEqual([]);
    expect(cases.length).toBeGreaterThan(60);
  });

  for (const { fn, args_source } of cases) {
    const reason = SKIPPED[fn];
    it.skipIf(reason !== undefined)(
      `${fn}(${args_source})${reason === undefined ? '' : ` [skipped: ${reason}]`}`,
      () => {
        CHECKS[fn]!(...(parseArguments(args_source) as never[]));
      },
    );
  }
});
