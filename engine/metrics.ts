/** Counts what the engine does and how long requests wait, in a fixed amount of memory. */
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import type { Sequence } from './scheduler/sequence.ts';
import type { SequenceEvent } from './scheduler/sequence-events.ts';

/** A distribution of times, in ms. Percentiles are exact to three digits. */
export interface TimeSummary {
  readonly count: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface MetricsSnapshot {
  /** Requests' sequences by how they ended. */
  readonly numFinished: number;
  readonly numAborted: number;
  readonly numTimedOut: number;
  readonly numFailed: number;
  /** Tokens of prompts that were admitted, and how many of those the prefix cache supplied. */
  readonly numPromptTokens: number;
  readonly numCachedTokens: number;
  readonly numGeneratedTokens: number;
  /** Time to first token: from arrival to the first token generated. */
  readonly ttft: TimeSummary;
  /** Inter-token latency: between two tokens of one sequence. */
  readonly itl: TimeSummary;
}

export class Metrics {
  #numFinished = 0;
  #numAborted = 0;
  #numTimedOut = 0;
  #numFailed = 0;
  #numPromptTokens = 0;
  #numCachedTokens = 0;
  #numGeneratedTokens = 0;
  readonly #ttft = createHistogram();
  readonly #itl = createHistogram();

  onEvent(event: SequenceEvent, sequence: Sequence, atMs: number): void {
    switch (event) {
      case 'started':
        this.#numPromptTokens += sequence.numPromptTokens;
        this.#numCachedTokens += sequence.numCachedTokens;
        return;
      case 'firstToken':
        record(this.#ttft, atMs - sequence.arrivalMs);
        return;
      case 'finished':
        this.#numFinished++;
        return;
      case 'aborted':
        this.#numAborted++;
        return;
      case 'timedOut':
        this.#numTimedOut++;
        return;
      case 'failed':
        this.#numFailed++;
        return;
      default:
        return;
    }
  }

  /** @param sinceLastMs  undefined for a sequence's first token */
  onToken(sinceLastMs: number | undefined): void {
    this.#numGeneratedTokens++;
    if (sinceLastMs !== undefined) record(this.#itl, sinceLastMs);
  }

  snapshot(): MetricsSnapshot {
    return {
      numFinished: this.#numFinished,
      numAborted: this.#numAborted,
      numTimedOut: this.#numTimedOut,
      numFailed: this.#numFailed,
      numPromptTokens: this.#numPromptTokens,
      numCachedTokens: this.#numCachedTokens,
      numGeneratedTokens: this.#numGeneratedTokens,
      ttft: summarize(this.#ttft),
      itl: summarize(this.#itl),
    };
  }
}

/** Histograms hold whole numbers from 1: microseconds. */
function record(histogram: RecordableHistogram, ms: number): void {
  histogram.record(Math.max(1, Math.round(ms * 1000)));
}

function summarize(histogram: RecordableHistogram): TimeSummary {
  const { count } = histogram;
  if (count === 0) return { count, meanMs: 0, p50Ms: 0, p90Ms: 0, p99Ms: 0, maxMs: 0 };
  return {
    count,
    meanMs: histogram.mean / 1000,
    p50Ms: histogram.percentile(50) / 1000,
    p90Ms: histogram.percentile(90) / 1000,
    p99Ms: histogram.percentile(99) / 1000,
    maxMs: histogram.max / 1000,
  };
}
