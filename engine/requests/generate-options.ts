/** What a generating request may say: how to be scheduled (`RequestOptions`), how to read the prompt, and how to sample
 * (`SamplingOptions`). */
import type { ChatRenderOptions } from '../chat/index.ts';
import type { SamplingOptions } from '../sampling/sampling-options.ts';
import {
  OTHER_SAMPLING_NAMES,
  readSamplingParams,
  SAMPLING_OPTION_NAMES,
  type SamplingParams,
} from '../sampling/sampling-params.ts';
import { OptionReader } from '../util/option-reader.ts';
import {
  REQUEST_OPTION_NAMES,
  type RequestOptions,
  type RequestSettings,
  readRequestOptions,
} from './request-options.ts';

export interface GenerateOptions extends SamplingOptions, RequestOptions {
  /** Read `<|im_end|>` and its like in the prompt as the tokens they name. Default false. */
  readonly parseSpecial?: boolean;
  /** Put the model's own tokens around the prompt (BOS, as it was trained). Default true. */
  readonly addSpecial?: boolean;
}

/** What a conversation may say beyond that. */
export interface ChatOptions extends Omit<GenerateOptions, 'parseSpecial' | 'addSpecial'>, ChatRenderOptions {}

const ENCODING_NAMES: Readonly<Record<'parseSpecial' | 'addSpecial', true>> = { parseSpecial: true, addSpecial: true };

const RENDER_NAMES: Readonly<Record<keyof ChatRenderOptions, true>> = {
  tools: true,
  documents: true,
  addGenerationPrompt: true,
  variables: true,
};

/** @throws InvalidArgumentError */
export function readGenerateOptions(options: GenerateOptions): {
  readonly settings: RequestSettings;
  readonly encoding: { readonly parseSpecial: boolean; readonly addSpecial: boolean };
  readonly params: SamplingParams;
} {
  const reader = readerOf('generate options', options, Object.keys(ENCODING_NAMES));
  return {
    settings: readRequestOptions(reader),
    encoding: {
      parseSpecial: reader.boolean('parseSpecial', false),
      addSpecial: reader.boolean('addSpecial', true),
    },
    params: readSamplingParams(reader),
  };
}

/** What lies within tools, documents and variables is checked by whoever renders them.
 * @throws InvalidArgumentError */
export function readChatOptions(options: ChatOptions): {
  readonly settings: RequestSettings;
  readonly rendering: ChatRenderOptions;
  readonly params: SamplingParams;
} {
  const reader = readerOf('chat options', options, Object.keys(RENDER_NAMES));
  const [tools, documents, variables] = [reader.array('tools'), reader.array('documents'), reader.object('variables')];
  return {
    settings: readRequestOptions(reader),
    rendering: {
      addGenerationPrompt: reader.boolean('addGenerationPrompt', true),
      ...(tools === undefined ? {} : { tools }),
      ...(documents === undefined ? {} : { documents }),
      ...(variables === undefined ? {} : { variables }),
    },
    params: readSamplingParams(reader),
  };
}

function readerOf(what: string, options: unknown, ownNames: readonly string[]): OptionReader {
  const names = [...SAMPLING_OPTION_NAMES, ...REQUEST_OPTION_NAMES, ...ownNames];
  return new OptionReader(what, options, names, OTHER_SAMPLING_NAMES);
}
