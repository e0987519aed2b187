/** What a request may say: how to sample (`SamplingOptions`), and how to be scheduled. */
import type { ChatRenderOptions } from '../chat/index.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { SamplingOptions } from '../sampling/sampling-options.ts';

export interface RequestOptions {
  /** Lower runs earlier, under the 'priority' policy. Whole number from -1e6 to 1e6. Default 0. */
  readonly priority?: number;
  /** Gives the request up after so long, queued or running, in ms. Above 0. Default: never. */
  readonly deadlineMs?: number;
  /** Requests share cached prompt beginnings only under equal salts. Default ''. */
  readonly cacheSalt?: string;
  /** Aborts the request. */
  readonly signal?: AbortSignal;
}

export interface GenerateOptions extends SamplingOptions, RequestOptions {
  /** Read `<|im_end|>` and its like in the prompt as the tokens they name. Default false. */
  readonly parseSpecial?: boolean;
  /** Put the model's own tokens around the prompt (BOS, as it was trained). Default true. */
  readonly addSpecial?: boolean;
}

/** What a conversation may say beyond that. */
export interface ChatOptions extends Omit<GenerateOptions, 'parseSpecial' | 'addSpecial'>, ChatRenderOptions {}

/** The caller's stop strings and a template's. */
export function withStops(own: GenerateOptions['stop'], more: readonly string[]): readonly string[] {
  const list = own === undefined || own === null ? [] : typeof own === 'string' ? [own] : own;
  return [...list, ...more];
}

/** Takes the options apart: those for scheduling and encoding are checked here, the rest is sampling's business.
 * @throws InvalidArgumentError */
export function splitGenerateOptions(options: GenerateOptions): {
  readonly request: RequestOptions;
  readonly encoding: { readonly parseSpecial: boolean; readonly addSpecial: boolean };
  readonly sampling: SamplingOptions;
} {
  const { priority, deadlineMs, cacheSalt, signal, parseSpecial = false, addSpecial = true, ...sampling } = options;
  if (cacheSalt !== undefined && typeof cacheSalt !== 'string') {
    throw new InvalidArgumentError('cacheSalt', `must be a string, got ${typeof cacheSalt}`);
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgumentError('signal', 'must be an AbortSignal');
  }
  const request = {
    ...(priority === undefined ? {} : { priority }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(cacheSalt === undefined ? {} : { cacheSalt }),
    ...(signal === undefined ? {} : { signal }),
  };
  return { request, encoding: { parseSpecial, addSpecial }, sampling };
}
