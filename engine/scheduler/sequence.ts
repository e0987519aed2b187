/** One sequence: the tokens of a prompt and what was generated after it, and how far the model has got with them.
 *
 *   tokenIds   [ prompt ........................ | generated ... ]
 *              0        numComputedTokens        numPromptTokens  numTokens
 *              |--- keys and values are cached --|--- to compute ---|
 *
 * Whoever makes a request makes a `Sequence`; from `add` on the scheduler alone writes to it. Knows no text, no
 * sampling and no blocks. */
import { InvalidArgumentError } from '../errors.ts';
import { checkCount } from '../kvcache/count-argument.ts';
import type { CacheableSequence } from '../kvcache/kv-cache-options.ts';

/** 'preempted' waits as 'waiting' does, but has run before. */
export type SequenceStatus = 'waiting' | 'running' | 'preempted' | 'finished';

/** 'stop' and 'length' are answers; 'abort', 'timeout' and 'error' come with `Sequence.error`. */
export type FinishReason = 'stop' | 'length' | 'abort' | 'timeout' | 'error';

/** Asked after each generated token, already appended: does the sequence end here, and why? */
export type StopCheck = (sequence: Sequence, tokenId: number) => 'stop' | 'length' | undefined;

export interface SequenceOptions {
  /** Unique among the scheduler's unfinished sequences. */
  readonly id: number;
  /** At least one token id. */
  readonly promptTokenIds: ArrayLike<number>;
  /** Tokens to generate at most. 0: the prompt is computed and nothing sampled (embedding, scoring). */
  readonly maxNewTokens: number;
  /** Lower runs earlier, as in vLLM; whole number from -1e6 to 1e6, default 0. Used by the priority order only. */
  readonly priority?: number;
  /** Milliseconds from `add` until the sequence is given up, queued or running. Default: never. */
  readonly deadlineMs?: number | undefined;
  /** Cached blocks are shared only under equal salts. Default ''. */
  readonly cacheSalt?: string;
  /** False computes every prompt row even when blocks are cached: needed where each row's output is wanted. Default true. */
  readonly readsPrefixCache?: boolean;
  /** Begin with this sequence's blocks as far as the tokens agree (`n` > 1), once it has computed that much. */
  readonly forkOf?: Sequence | undefined;
}

/** Priorities lie within ± this. */
export const MAX_PRIORITY = 1e6;
const MAX_TOKEN_ID = 2 ** 31 - 1;

export class Sequence implements CacheableSequence {
  readonly id: number;
  readonly numPromptTokens: number;
  readonly maxNewTokens: number;
  readonly priority: number;
  readonly deadlineMs: number | undefined;
  readonly cacheSalt: string;
  readonly readsPrefixCache: boolean;
  /** Tokens to begin with from `forkOf`: all that agree, but the last, whose row gives this sequence its own logits. */
  readonly numForkTokens: number;

  status: SequenceStatus = 'waiting';
  finishReason: FinishReason | undefined;
  /** Why there is no answer: an AbortError, a RequestTimeoutError, or what the engine reported. */
  error: Error | undefined;
  numComputedTokens = 0;
  /** Tokens that needed no computing when the sequence first started. */
  numCachedTokens = 0;
  numPreemptions = 0;
  /** Has been scheduled at least once. */
  hasStarted = false;
  /** Clock time of `add`, in ms. */
  arrivalMs = 0;
  /** Position in the order of `add` calls. */
  arrivalIndex = 0;
  /** Cleared when the sequence starts, so that no finished parent is kept alive. */
  forkOf: Sequence | undefined;

  #tokenIds: Int32Array;
  #numTokens: number;

  /** @throws InvalidArgumentError */
  constructor(options: SequenceOptions) {
    const { id, promptTokenIds, maxNewTokens, priority = 0, deadlineMs } = options;
    checkCount('id', id);
    checkCount('promptTokenIds.length', promptTokenIds.length, 1);
    checkCount('maxNewTokens', maxNewTokens);
    if (!Number.isSafeInteger(priority) || Math.abs(priority) > MAX_PRIORITY) {
      throw new InvalidArgumentError('priority', `must be a whole number within ±${MAX_PRIORITY}, got ${priority}`);
    }
    if (deadlineMs !== undefined && !(deadlineMs > 0)) {
      throw new InvalidArgumentError('deadlineMs', `must be above 0, got ${deadlineMs}`);
    }
    this.id = id;
    this.numPromptTokens = promptTokenIds.length;
    this.maxNewTokens = maxNewTokens;
    this.priority = priority;
    this.deadlineMs = deadlineMs;
    this.cacheSalt = options.cacheSalt ?? '';
    this.readsPrefixCache = options.readsPrefixCache ?? true;
    this.forkOf = options.forkOf;
    this.#tokenIds = new Int32Array(promptTokenIds.length + Math.min(maxNewTokens, 64));
    this.#numTokens = 0;
    for (let i = 0; i < promptTokenIds.length; i++) this.appendToken(promptTokenIds[i]!);
    this.numForkTokens = this.forkOf === undefined ? 0 : this.#numTokensInCommon(this.forkOf);
  }

  /** The backing store: valid up to `numTokens`, and until the next token is appended. */
  get tokenIds(): Int32Array {
    return this.#tokenIds;
  }

  get numTokens(): number {
    return this.#numTokens;
  }

  get numGeneratedTokens(): number {
    return this.#numTokens - this.numPromptTokens;
  }

  /** Tokens whose keys and values can ever be needed: the last token generated is never computed. */
  get maxNumComputedTokens(): number {
    return this.numPromptTokens + Math.max(0, this.maxNewTokens - 1);
  }

  get isFinished(): boolean {
    return this.status === 'finished';
  }

  /** When the deadline passes, in clock ms; Infinity without one. */
  get expiresAtMs(): number {
    return this.deadlineMs === undefined ? Number.POSITIVE_INFINITY : this.arrivalMs + this.deadlineMs;
  }

  /** @throws InvalidArgumentError for what cannot be a token id. */
  appendToken(tokenId: number): void {
    if (!Number.isInteger(tokenId) || tokenId < 0 || tokenId > MAX_TOKEN_ID) {
      throw new InvalidArgumentError('tokenId', `must be a whole number from 0 to ${MAX_TOKEN_ID}, got ${tokenId}`);
    }
    if (this.#numTokens === this.#tokenIds.length) {
      const grown = new Int32Array(Math.max(16, this.#numTokens * 2));
      grown.set(this.#tokenIds);
      this.#tokenIds = grown;
    }
    this.#tokenIds[this.#numTokens++] = tokenId;
  }

  #numTokensInCommon(other: Sequence): number {
    if (other.cacheSalt !== this.cacheSalt) {
      throw new InvalidArgumentError('forkOf', `sequence ${other.id} has another cacheSalt than sequence ${this.id}`);
    }
    const limit = Math.min(other.numTokens, this.#numTokens - 1);
    let count = 0;
    while (count < limit && other.tokenIds[count] === this.#tokenIds[count]) count++;
    return count;
  }
}
