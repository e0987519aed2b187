/** Many requests that meet in one engine at chosen steps, and what became of each: enough to compare, in bits, with the
 * same request alone. */
import fc from 'fast-check';
import { AbortError } from '../../engine/errors.ts';
import type { SamplingOptions } from '../../engine/sampling/sampling-options.ts';
import type { Sequence } from '../../engine/scheduler/sequence.ts';
import type { EngineHarness, HarnessOptions } from './engine-harness.ts';
import { TINY_VOCAB_SIZE } from './tiny-models.ts';

export interface ScenarioRequest {
  readonly kind: 'generate' | 'score' | 'embed';
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly n: number;
  readonly temperature: number;
  /** Other sampling options. */
  readonly sampling: SamplingOptions;
  readonly seed: number;
  readonly stop: string | undefined;
  readonly priority: number;
  readonly cacheSalt: string;
  /** Sent during this step, or when the engine has nothing else to do. */
  readonly arrivalStep: number;
  /** Aborted so many steps after that. */
  readonly abortAfterSteps: number | undefined;
}

/** All that may not depend on company. */
export interface Outcome {
  readonly isAborted: boolean;
  /** Per choice. */
  readonly choices: readonly {
    /** Generated token ids, the one that ended the text included. */
    readonly tokenIds: readonly number[];
    /** Digests of the logits behind each of them. */
    readonly logits: readonly string[];
    readonly text: string | undefined;
    readonly finishReason: string | undefined;
  }[];
  /** Of an answer its log-probabilities. */
  readonly numbers: readonly number[];
}

interface Action {
  readonly atStep: number;
  readonly act: () => void;
}

/** Sends every request and waits for all of them. */
export async function runScenario(harness: EngineHarness, requests: readonly ScenarioRequest[]): Promise<Outcome[]> {
  const outcomes: Promise<Outcome>[] = [];
  const firstStep = harness.stepSizes.length;
  const steps = (): number => harness.stepSizes.length - firstStep;
  let actions: Action[] = [];
  const add = (action: Action): void => {
    actions = [...actions, action].sort((a, b) => a.atStep - b.atStep);
  };
  const actUntil = (step: number): void => {
    while (actions[0] !== undefined && actions[0].atStep <= step) actions.shift()!.act();
  };
  const send = (request: ScenarioRequest, index: number): void => {
    const controller = new AbortController();
    outcomes[index] = follow(harness, request, controller.signal);
    if (request.abortAfterSteps === undefined) return;
    add({ atStep: steps() + request.abortAfterSteps, act: () => controller.abort() });
  };
  for (const [index, request] of requests.entries()) {
    add({ atStep: request.arrivalStep, act: () => send(request, index) });
  }
  harness.onStep = () => actUntil(steps());
  actUntil(0);
  while (actions.length > 0) {
    await Promise.all(outcomes.filter((outcome) => outcome !== undefined));
    if (actions.length > 0) actUntil(Math.max(steps(), actions[0]!.atStep));
  }
  harness.onStep = undefined;
  return Promise.all(outcomes);
}

/** Sends one request and waits for its end. An abort is an outcome, every other failure an error. */
async function follow(harness: EngineHarness, request: ScenarioRequest, signal: AbortSignal): Promise<Outcome> {
  const { priority, cacheSalt, kind } = request;
  const scheduling = { priority, cacheSalt, signal };
  let sequences: readonly Sequence[] = [];
  let texts: (string | undefined)[] = [];
  let numbers: readonly number[] = [];
  let isAborted = false;
  try {
    if (kind === 'score') {
      numbers = (await harness.engine.score(request.prompt, scheduling)).logprobs;
    } else if (kind === 'embed') {
      numbers = [...(await harness.engine.embed(request.prompt, scheduling)).vector];
    } else {
      const { maxTokens: max_tokens, n, temperature, seed, stop } = request;
      const options = { ...scheduling, ...request.sampling, max_tokens, n, temperature, seed, stop: stop ?? null };
      const submitted = harness.generate(request.prompt, options);
      sequences = submitted.sequences;
      const answer = await submitted.stream.result;
      texts = answer.choices.map(({ text }) => text);
      const logprobs = answer.choices.flatMap((choice) => choice.logprobs ?? []);
      numbers = logprobs.flatMap(({ logprob, top }) => [
        logprob,
        ...top.flatMap((best) => [best.tokenId, best.logprob]),
      ]);
    }
  } catch (error) {
    if (!(error instanceof AbortError)) throw error;
    isAborted = true;
  }
  const choices = sequences.map((sequence, i) => ({
    tokenIds: [...sequence.tokenIds.subarray(sequence.numPromptTokens, sequence.numTokens)],
    logits: harness.logitsOf(sequence),
    text: texts[i],
    finishReason: sequence.finishReason,
  }));
  return { isAborted, choices, numbers };
}

/** Expects of each request what it gets alone: all of it, or the beginning of it when it was aborted. `alone` runs one
 * sequence at a time. */
export async function expectAsAlone(
  alone: EngineHarness,
  requests: readonly ScenarioRequest[],
  outcomes: readonly Outcome[],
): Promise<void> {
  for (const [i, request] of requests.entries()) {
    const [expected] = await runScenario(alone, [{ ...request, arrivalStep: 0, abortAfterSteps: undefined }]);
    const problem = findDifference(outcomes[i]!, expected!);
    if (problem !== undefined) throw new Error(`request ${i}: ${problem}`);
  }
}

function findDifference(actual: Outcome, expected: Outcome): string | undefined {
  if (!actual.isAborted && !sameBits(actual.numbers, expected.numbers)) {
    return `numbers ${actual.numbers.join()}, alone ${expected.numbers.join()}`;
  }
  for (const [c, choice] of actual.choices.entries()) {
    const wanted = expected.choices[c]!;
    const isWhole = choice.finishReason !== 'abort';
    for (const list of ['tokenIds', 'logits'] as const) {
      const [have, want] = [choice[list], isWhole ? wanted[list] : wanted[list].slice(0, choice[list].length)];
      if (have.length === want.length && have.every((value, at) => value === want[at])) continue;
      return `choice ${c}: ${list} ${have.join()}, alone ${want.join()}`;
    }
    if (!isWhole) continue;
    if (choice.finishReason !== wanted.finishReason) return `choice ${c}: ends by ${choice.finishReason}`;
    if (!actual.isAborted && choice.text !== wanted.text) return `choice ${c}: text ${choice.text}`;
  }
  return undefined;
}

function sameBits(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
}

export const SCENARIO_MODEL_LEN = 64;

const PREFIX_LENGTH = 24;

/** What a summary of the row decides, what only the whole row does, and what is one or the other by chance. */
const SAMPLING: readonly SamplingOptions[] = [
  {},
  {},
  { logprobs: 2 },
  { top_k: 5 },
  { top_p: 0.8, logprobs: 1 },
  { min_p: 0.05, repetition_penalty: 1.3 },
  { typical_p: 0.7 },
  { top_n_sigma: 1, frequency_penalty: 0.5, logprobs: 2 },
  { xtc_probability: 0.5, xtc_threshold: 0.02 },
];

/** Prompts that share beginnings, since all are cut from one text before their own few tokens follow. */
export function scenarioRequests(maxLength: number): fc.Arbitrary<ScenarioRequest[]> {
  const request = fc.record({
    kind: fc.constantFrom<ScenarioRequest['kind']>('generate', 'generate', 'generate', 'score', 'embed'),
    prefixLength: fc.nat(PREFIX_LENGTH),
    tail: fc.array(fc.nat(TINY_VOCAB_SIZE - 1), { minLength: 1, maxLength: 8, size: 'max' }),
    maxTokens: fc.integer({ min: 1, max: 32 }),
    n: fc.constantFrom(1, 1, 1, 2, 3),
    temperature: fc.constantFrom(0, 0.7, 1.5),
    sampling: fc.constantFrom(...SAMPLING),
    seed: fc.nat(1000),
    stop: fc.constantFrom(undefined, undefined, undefined, 'a', 'th'),
    priority: fc.integer({ min: -2, max: 2 }),
    cacheSalt: fc.constantFrom('', '', '', 'tenant'),
    arrivalStep: fc.constantFrom(0, 0, 0, 1, 2, 4, 7, 12),
    abortAfterSteps: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat(15) }),
  });
  return fc
    .tuple(
      fc.array(fc.nat(TINY_VOCAB_SIZE - 1), { minLength: PREFIX_LENGTH, maxLength: PREFIX_LENGTH }),
      fc.array(request, { minLength: 1, maxLength, size: 'max' }),
    )
    .map(([text, requests]) =>
      requests.map(({ prefixLength, tail, ...rest }) => ({
        ...rest,
        prompt: [...text.slice(0, prefixLength), ...tail],
      })),
    );
}

/** Small everything, so that requests get in each other's way. */
export function scenarioOptions(): fc.Arbitrary<HarnessOptions> {
  return fc
    .record({
      blockSize: fc.integer({ min: 1, max: 9 }),
      spareBlocks: fc.nat(4),
      maxNumSeqs: fc.integer({ min: 1, max: 6 }),
      extraBudget: fc.nat(24),
      chunk: fc.integer({ min: 1, max: 30 }),
      schedulingPolicy: fc.constantFrom('fcfs' as const, 'priority' as const),
      enablePrefixCaching: fc.constantFrom(true, true, false),
      maxWaitMs: fc.constantFrom(0, 1),
    })
    .map(({ spareBlocks, extraBudget, chunk, blockSize, maxNumSeqs, ...rest }) => ({
      ...rest,
      blockSize,
      maxNumSeqs,
      maxModelLen: SCENARIO_MODEL_LEN,
      numBlocks: Math.ceil(SCENARIO_MODEL_LEN / blockSize) + 1 + spareBlocks,
      maxNumBatchedTokens: maxNumSeqs + extraBudget,
      maxPrefillChunk: Math.min(chunk, maxNumSeqs + extraBudget),
    }));
}

/** One sequence at a time, each prompt in one step, nothing shared. */
export const ALONE_OPTIONS: HarnessOptions = {
  numThreads: 0,
  maxModelLen: SCENARIO_MODEL_LEN,
  maxNumSeqs: 1,
  maxNumBatchedTokens: SCENARIO_MODEL_LEN,
  maxPrefillChunk: SCENARIO_MODEL_LEN,
  blockSize: 16,
  enablePrefixCaching: false,
  maxWaitMs: 0,
};
