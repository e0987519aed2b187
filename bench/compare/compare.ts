/** Measures the contenders side by side: by turns, so that a machine that slows down slows all of them.
 *
 *   loads        quern | llama.cpp | ... | quern | llama.cpp | ...        a fresh process each
 *   each test    quern | llama.cpp | ... | llama.cpp | ... | quern | ...  processes that stay, the first one changes */
import { type BenchTest, testName } from '../../cli/bench/bench-test.ts';
import type { Contender } from './contenders.ts';
import type { PeerFacts, PeerOptions } from './peer.ts';
import { PeerProcess } from './peer-process.ts';

export interface CompareOptions extends PeerOptions {
  readonly repetitions: number;
  readonly onProgress: (what: string) => void;
}

export interface LoadSample {
  /** From the start of the process until the engine's code is there. */
  readonly startMs: number;
  /** From then until the model is ready. */
  readonly loadMs: number;
}

/** What one engine did. */
export interface PeerResult {
  readonly name: string;
  readonly facts: PeerFacts;
  readonly loads: readonly LoadSample[];
  /** The most memory resident at a time, in bytes: when just loaded, and after all tests. */
  readonly loadedRss: number;
  readonly peakRss: number;
  /** Tokens per second by test name, in the order of the repetitions. */
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

/** One engine while it is measured. */
interface Contest {
  readonly contender: Contender;
  readonly loads: LoadSample[];
  readonly samples: Record<string, number[]>;
  process?: PeerProcess;
  facts?: PeerFacts;
  loadedRss?: number;
}

/** Errors  Error naming the engine that failed; no process is left behind */
export async function compare(contenders: readonly Contender[], options: CompareOptions): Promise<PeerResult[]> {
  const contests = contenders.map((contender): Contest => ({ contender, loads: [], samples: {} }));
  try {
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      options.onProgress(`load ${repetition + 1} of ${options.repetitions}`);
      for (const contest of contests) await load(contest, options);
    }
    for (const test of options.tests) await runTest(contests, test, options);
    return await Promise.all(contests.map(resultOf));
  } finally {
    for (const { process } of contests) process?.stop();
  }
}

/** In a fresh process, which stays for the tests if it is the last. */
async function load(contest: Contest, options: PeerOptions): Promise<void> {
  contest.process?.stop();
  const { name, script, args } = contest.contender;
  const { peer, startMs } = await PeerProcess.start(name, script, args);
  contest.process = peer;
  const { model, threads, tests, kvDtype } = options;
  const begin = performance.now();
  contest.facts = await peer.load({ model, threads, tests, kvDtype });
  contest.loads.push({ startMs, loadMs: performance.now() - begin });
  contest.loadedRss = await peer.peakRss();
}

async function runTest(contests: readonly Contest[], test: BenchTest, options: CompareOptions): Promise<void> {
  const { repetitions, onProgress } = options;
  const name = testName(test);
  for (const contest of contests) contest.samples[name] = [];
  for (const { process } of contests) await process!.prepare(test);
  for (let repetition = -1; repetition < repetitions; repetition++) {
    onProgress(repetition < 0 ? `${name}: warm-up` : `${name}: ${repetition + 1} of ${repetitions}`);
    for (const contest of inTurn(contests, repetition + 1)) {
      const tokensPerSecond = await contest.process!.measure(test, repetition);
      if (repetition >= 0) contest.samples[name]!.push(tokensPerSecond);
    }
  }
}

/** The same order, begun at another place: nobody always runs on a machine that another has just warmed up. */
export function inTurn<T>(items: readonly T[], turn: number): T[] {
  const start = turn % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

async function resultOf({ contender, loads, samples, process, facts, loadedRss }: Contest): Promise<PeerResult> {
  return {
    name: contender.name,
    facts: facts!,
    loads,
    loadedRss: loadedRss!,
    peakRss: await process!.peakRss(),
    samples,
  };
}
