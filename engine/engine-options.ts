/** Every option of `Engine.load`, with default, unit and minimum. */
import { InvalidArgumentError } from './errors.ts';
import { KV_DTYPES, type KvDType } from './kvcache/kv-cache-storage.ts';
import type { LoadProgress } from './loader/load-weights.ts';
import type { SequenceListener } from './scheduler/sequence-events.ts';
import { systemClock, type TimerClock } from './util/clock.ts';
import { availableThreads } from './util/cpu-quota.ts';
import { checkWholeNumber, describe, OptionReader } from './util/option-reader.ts';

export interface EngineOptions {
  /** Which kernels compute: a name that `quern/kernels` lists, or 'auto' for the fastest that runs here. Default 'auto'. */
  readonly backend?: string;
  /** 'fast' may use instructions whose last bits differ between CPU families; 'portable' gives the same bits on every
   * machine, somewhat slower. Default 'fast'. */
  readonly numerics?: 'fast' | 'portable';
  /** Whether V8 may fuse pairs of 128-bit SIMD instructions into 256-bit ones, where a self-test finds equal results.
   * Default 'auto'. */
  readonly revectorize?: 'auto' | 'off';
  /** 'f16' lets a GPU multiply in half precision when it reads prompts and large batches, with matrix units where it has
   * them. Faster; a token's bits then depend on how many others are in the step. Default 'f32'. */
  readonly matmulPrecision?: 'f32' | 'f16';
  /** 'int8' lets a GPU round activations to 127 levels per 32 before they meet weights of Q8_0, Q4_0 or Q4_K, in steps of fewer
   * than 24 tokens: four products are then one instruction. docs/webgpu.md says what that does to logits. Default 'f32'. */
  readonly matvecPrecision?: 'f32' | 'int8';
  /** What becomes of running requests when the GPU is lost. 'fail' ends them with a DeviceLostError, and the model is loaded
   * again on the GPU for those to come; 'cpu' loads it on the CPU, where running requests are computed again and go on.
   * Default 'fail'. */
  readonly onDeviceLoss?: 'fail' | 'cpu';
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
  /** Sequences that may wait: a request counts as its `n`. When none waits, any request may. The same number of scoring
   * and embedding requests may wait for their batch. Minimum 1. Default 1024. */
  readonly maxNumQueuedRequests?: number;
  /** Tokens of all waiting sequences. When none waits, any request may. Minimum 1. Default: no bound. */
  readonly maxNumQueuedTokens?: number;
  /** Scoring and embedding requests computed together. Minimum 1. Default 32. */
  readonly maxBatchSize?: number;
  /** How long such a request may wait for others while none is computed, in ms. From 0 to 2^31 - 1. Default 100. */
  readonly maxWaitMs?: number;
  /** Who runs first: 'fcfs' by arrival; 'priority' by the requests' `priority`, with ageing. Default 'fcfs'. */
  readonly schedulingPolicy?: 'fcfs' | 'priority';
  /** With 'priority': waiting so long counts as one level, in ms. Above 0, at most 1e9. Default 1000. */
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
export interface ResolvedEngineOptions extends Required<Omit<EngineOptions, OptionalName>> {
  /** Undefined: see `resolveMaxModelLen` and `resolveNumBlocks`. */
  readonly maxModelLen: number | undefined;
  readonly kvCacheBytes: number | undefined;
  readonly tokenizerPath: string | undefined;
  readonly onProgress: EngineOptions['onProgress'] | undefined;
  readonly onSequenceEvent: SequenceListener | undefined;
  readonly signal: AbortSignal | undefined;
}

type OptionalName = 'maxModelLen' | 'kvCacheBytes' | 'tokenizerPath' | 'onProgress' | 'onSequenceEvent' | 'signal';

const NAMES: Readonly<Record<keyof EngineOptions, true>> = {
  backend: true,
  numerics: true,
  revectorize: true,
  matmulPrecision: true,
  matvecPrecision: true,
  onDeviceLoss: true,
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

/** Everything that can be said about the options without the model.
 * @throws InvalidArgumentError naming the option */
export function resolveEngineOptions(options: EngineOptions): ResolvedEngineOptions {
  const reader = new OptionReader('engine options', options, Object.keys(NAMES));
  return {
    backend: reader.string('backend', 'auto'),
    numerics: reader.oneOf('numerics', ['fast', 'portable'], 'fast'),
    revectorize: reader.oneOf('revectorize', ['auto', 'off'], 'auto'),
    matmulPrecision: reader.oneOf('matmulPrecision', ['f32', 'f16'], 'f32'),
    matvecPrecision: reader.oneOf('matvecPrecision', ['f32', 'int8'], 'f32'),
    onDeviceLoss: reader.oneOf('onDeviceLoss', ['fail', 'cpu'], 'fail'),
    numThreads: reader.wholeNumber('numThreads', { fallback: availableThreads(), min: 0, max: MAX_THREADS }),
    maxModelLen: reader.wholeNumber('maxModelLen', { fallback: undefined, min: 1 }),
    kvDtype: reader.oneOf('kvDtype', KV_DTYPES, 'f32'),
    kvCacheBytes: reader.wholeNumber('kvCacheBytes', { fallback: undefined, min: 1 }),
    blockSize: reader.wholeNumber('blockSize', { fallback: 16, min: 1, max: 4096 }),
    ...readScheduling(reader),
    enablePrefixCaching: reader.boolean('enablePrefixCaching', true),
    tokenizerPath: reader.string('tokenizerPath', undefined),
    onProgress: reader.callback('onProgress'),
    onSequenceEvent: reader.callback('onSequenceEvent'),
    signal: reader.signal('signal'),
    clock: readClock(reader.raw('clock')),
  };
}

function readScheduling(reader: OptionReader) {
  const maxNumSeqs = reader.wholeNumber('maxNumSeqs', { fallback: 64, min: 1 });
  const maxNumBatchedTokens = reader.wholeNumber('maxNumBatchedTokens', {
    fallback: Math.max(512, maxNumSeqs),
    min: maxNumSeqs,
  });
  return {
    maxNumSeqs,
    maxNumBatchedTokens,
    maxPrefillChunk: reader.wholeNumber('maxPrefillChunk', {
      fallback: Math.min(256, maxNumBatchedTokens),
      min: 1,
      max: maxNumBatchedTokens,
    }),
    maxNumQueuedRequests: reader.wholeNumber('maxNumQueuedRequests', { fallback: 1024, min: 1 }),
    maxNumQueuedTokens: reader.wholeNumber('maxNumQueuedTokens', { fallback: Number.MAX_SAFE_INTEGER, min: 1 }),
    maxBatchSize: reader.wholeNumber('maxBatchSize', { fallback: 32, min: 1 }),
    maxWaitMs: reader.number('maxWaitMs', { fallback: 100, min: 0, max: 2 ** 31 - 1 }),
    schedulingPolicy: reader.oneOf('schedulingPolicy', ['fcfs', 'priority'], 'fcfs'),
    priorityAgeingMs: reader.number('priorityAgeingMs', { fallback: 1000, min: 0, aboveMin: true, max: 1e9 }),
  };
}

function readClock(value: unknown): TimerClock {
  if (value === undefined) return systemClock;
  const { nowMs, setTimer } = Object(value) as Partial<TimerClock>;
  if (typeof nowMs === 'function' && typeof setTimer === 'function') return value as TimerClock;
  throw new InvalidArgumentError('clock', `must have nowMs() and setTimer(), got ${describe(value)}`);
}

/** @throws InvalidArgumentError when the model cannot reach so far */
export function resolveMaxModelLen(
  { maxModelLen }: { readonly maxModelLen?: number | undefined },
  contextLength: number,
): number {
  if (maxModelLen === undefined) return Math.min(contextLength, DEFAULT_MAX_MODEL_LEN);
  return checkWholeNumber('maxModelLen', maxModelLen, { min: 1, max: contextLength });
}

/** Blocks in the pool, the null block included.
 * @throws InvalidArgumentError when `kvCacheBytes` cannot hold one sequence of `maxModelLen` */
export function resolveNumBlocks(
  { kvCacheBytes }: { readonly kvCacheBytes?: number | undefined },
  sizes: { readonly blocksPerSeq: number; readonly bytesPerBlock: number; readonly maxNumSeqs: number },
): number {
  const { blocksPerSeq, bytesPerBlock, maxNumSeqs } = sizes;
  const min = (blocksPerSeq + 1) * bytesPerBlock;
  const wanted = (blocksPerSeq * maxNumSeqs + 1) * bytesPerBlock;
  const byDefault = Math.max(min, Math.min(wanted, DEFAULT_KV_CACHE_BYTES));
  const numBytes = kvCacheBytes === undefined ? byDefault : checkWholeNumber('kvCacheBytes', kvCacheBytes, { min });
  return Math.floor(numBytes / bytesPerBlock);
}
