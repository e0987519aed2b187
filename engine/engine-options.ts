/** Every option of `Engine.load`, with default, unit and minimum. */
import { InvalidArgumentError } from './errors.ts';
import { KV_DTYPES, type KvDType } from './kvcache/kv-cache-storage.ts';
import type { LoadProgress } from './loader/load-weights.ts';
import type { SequenceListener } from './scheduler/sequence-events.ts';
import type { TimerClock } from './util/clock.ts';
import { availableThreads } from './util/cpu-quota.ts';

export interface EngineOptions {
  /** Which kernels compute: a name that `quern/kernels` lists, or 'auto' for the fastest that runs here. Default 'auto'. */
  readonly backend?: string;
  /** 'fast' may use instructions whose last bits differ between CPU families; 'portable' gives the same bits on every
   * machine, somewhat slower. Default 'fast'. */
  readonly numerics?: 'fast' | 'portable';
  /** Whether V8 may fuse pairs of 128-bit SIMD instructions into 256-bit ones, where a self-test finds equal results.
   * Default 'auto'. */
  readonly revectorize?: 'auto' | 'off';
  /** Worker threads. 0 computes on the calling thread, which then does nothing else. Minimum 0. Default: as many as the
   * container grants. */
  readonly numThreads?: number;
  /** Positions a sequence may reach, in tokens. Minimum 1, at most the model's context length. Default: the model's
   * context length, but at most 4,096. */
  readonly maxModelLen?: number;
  /** Element type of the KV cache: 'f32', 'f16' or 'q8_0'. Default 'f32'. */
  readonly kvDtype?: KvDType;
  /** Memory for the KV cache, in bytes. Minimum: one sequence of `maxModelLen`. Default: `maxNumSeqs` such sequences,
   * but at most 1 GiB (or one sequence where that takes more). */
  readonly kvCacheBytes?: number;
  /** Tokens per KV block. Minimum 1. Default 16. */
  readonly blockSize?: number;
  /** Tokens computed in one step, over all sequences. Minimum `maxNumSeqs`. Default 512. */
  readonly maxNumBatchedTokens?: number;
  /** Sequences that run at the same time. Minimum 1. Default 64. */
  readonly maxNumSeqs?: number;
  /** Prompt tokens of one sequence in one step. Minimum 1. Default 256, or `maxNumBatchedTokens` where that is less. */
  readonly maxPrefillChunk?: number;
  /** Requests that may wait. Minimum 1. Default 1024. */
  readonly maxNumQueuedRequests?: number;
  /** Tokens of all waiting requests. Minimum 1. Default: no bound. */
  readonly maxNumQueuedTokens?: number;
  /** Scoring and embedding requests computed together. Minimum 1. Default 32. */
  readonly maxBatchSize?: number;
  /** How long such a request may wait for others while none is computed, in ms. Minimum 0. Default 100. */
  readonly maxWaitMs?: number;
  /** Who runs first: 'fcfs' by arrival; 'priority' by the requests' `priority`, with ageing. Default 'fcfs'. */
  readonly schedulingPolicy?: 'fcfs' | 'priority';
  /** With 'priority': waiting so long counts as one level, in ms. Above 0. Default 1000. */
  readonly priorityAgeingMs?: number;
  /** Reuse keys and values of equal prompt beginnings. Default true. */
  readonly enablePrefixCaching?: boolean;
  /** A folder with `tokenizer.json`, when the model's own is missing or not wanted. */
  readonly tokenizerPath?: string;
  /** Told while weights load, in bytes. */
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Told every change of a sequence's state, as it happens. */
  readonly onSequenceEvent?: SequenceListener;
  /** Gives up loading. */
  readonly signal?: AbortSignal;
  /** Time, for tests. Default: the machine's monotonic clock. */
  readonly clock?: TimerClock;
}

const DEFAULT_MAX_MODEL_LEN = 4096;
const DEFAULT_KV_CACHE_BYTES = 2 ** 30;
const MAX_THREADS = 256;

/** Options with defaults filled in, as far as they do not depend on the model. */
export interface ResolvedEngineOptions {
  readonly backend: string;
  readonly numThreads: number;
  readonly kvDtype: KvDType;
  readonly blockSize: number;
  readonly maxNumBatchedTokens: number;
  readonly maxNumSeqs: number;
  readonly maxPrefillChunk: number;
}

/** @throws InvalidArgumentError naming the option */
export function resolveEngineOptions(options: EngineOptions): ResolvedEngineOptions {
  refuseUnknown(options);
  const maxNumSeqs = wholeNumber(options, 'maxNumSeqs', { fallback: 64, min: 1 });
  const maxNumBatchedTokens = wholeNumber(options, 'maxNumBatchedTokens', {
    fallback: Math.max(512, maxNumSeqs),
    min: maxNumSeqs,
  });
  const kvDtype = options.kvDtype ?? 'f32';
  oneOf('kvDtype', kvDtype, KV_DTYPES);
  oneOf('numerics', options.numerics ?? 'fast', ['fast', 'portable']);
  oneOf('revectorize', options.revectorize ?? 'auto', ['auto', 'off']);
  oneOf('schedulingPolicy', options.schedulingPolicy ?? 'fcfs', ['fcfs', 'priority']);
  return {
    backend: options.backend ?? 'auto',
    numThreads: wholeNumber(options, 'numThreads', { fallback: availableThreads(), min: 0, max: MAX_THREADS }),
    kvDtype,
    blockSize: wholeNumber(options, 'blockSize', { fallback: 16, min: 1, max: 4096 }),
    maxNumBatchedTokens,
    maxNumSeqs,
    maxPrefillChunk: wholeNumber(options, 'maxPrefillChunk', {
      fallback: Math.min(256, maxNumBatchedTokens),
      min: 1,
      max: maxNumBatchedTokens,
    }),
  };
}

/** @throws InvalidArgumentError when the model cannot reach so far */
export function resolveMaxModelLen(options: EngineOptions, contextLength: number): number {
  const fallback = Math.min(contextLength, DEFAULT_MAX_MODEL_LEN);
  return wholeNumber(options, 'maxModelLen', { fallback, min: 1, max: contextLength });
}

/** Blocks in the pool, the null block included.
 * @throws InvalidArgumentError when `kvCacheBytes` cannot hold one sequence of `maxModelLen` */
export function resolveNumBlocks(
  options: EngineOptions,
  sizes: { readonly blocksPerSeq: number; readonly bytesPerBlock: number; readonly maxNumSeqs: number },
): number {
  const { blocksPerSeq, bytesPerBlock, maxNumSeqs } = sizes;
  const min = (blocksPerSeq + 1) * bytesPerBlock;
  const wanted = (blocksPerSeq * maxNumSeqs + 1) * bytesPerBlock;
  const fallback = Math.max(min, Math.min(wanted, DEFAULT_KV_CACHE_BYTES));
  return Math.floor(wholeNumber(options, 'kvCacheBytes', { fallback, min }) / bytesPerBlock);
}

type NumberOption = {
  [K in keyof EngineOptions]-?: NonNullable<EngineOptions[K]> extends number ? K : never;
}[keyof EngineOptions];

function wholeNumber(
  options: EngineOptions,
  name: NumberOption,
  range: { readonly fallback: number; readonly min: number; readonly max?: number },
): number {
  const value = options[name] ?? range.fallback;
  const max = range.max ?? Number.MAX_SAFE_INTEGER;
  if (!Number.isSafeInteger(value) || value < range.min || value > max) {
    const upTo = range.max === undefined ? '' : ` to ${range.max}`;
    throw new InvalidArgumentError(name, `must be a whole number from ${range.min}${upTo}, got ${value}`);
  }
  return value;
}

function oneOf(name: keyof EngineOptions, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new InvalidArgumentError(name, `must be one of ${allowed.join(', ')}, got ${value}`);
}

const NAMES: Readonly<Record<keyof EngineOptions, true>> = {
  backend: true,
  numerics: true,
  revectorize: true,
  numThreads: true,
  maxModelLen: true,
  kvDtype: true,
  kvCacheBytes: true,
  blockSize: true,
  maxNumBatchedTokens: true,
  maxNumSeqs: true,
  maxPrefillChunk: true,
  maxNumQueuedRequests: true,
  maxNumQueuedTokens: true,
  maxBatchSize: true,
  maxWaitMs: true,
  schedulingPolicy: true,
  priorityAgeingMs: true,
  enablePrefixCaching: true,
  tokenizerPath: true,
  onProgress: true,
  onSequenceEvent: true,
  signal: true,
  clock: true,
};

function refuseUnknown(options: EngineOptions): void {
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(NAMES, name));
  if (unknown !== undefined) {
    throw new InvalidArgumentError(
      unknown,
      `is not an option of the engine; known are ${Object.keys(NAMES).join(', ')}`,
    );
  }
}
