/** `generation_config.json` of a Hugging Face model folder: how its authors suggest to sample. Typed, not applied.
 *
 * Source: GenerationConfig of huggingface/transformers. */
import { JsonFields } from '../json/json-fields.ts';
import { optionalFile } from './optional-file.ts';

/** Every field is undefined when the file lacks it or says `null`. */
export interface HfGenerationConfig {
  readonly bosTokenIds: readonly number[] | undefined;
  readonly eosTokenIds: readonly number[] | undefined;
  readonly doSample: boolean | undefined;
  readonly temperature: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly typicalP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** Prompt and answer together, in tokens. */
  readonly maxLength: number | undefined;
  readonly maxNewTokens: number | undefined;
}

const SHARE = { min: 0, max: 1 };

/** @returns undefined when the folder has no `generation_config.json`.
 * @throws FormatError naming the field and its byte. */
export async function readHfGenerationConfig(folder: string): Promise<HfGenerationConfig | undefined> {
  const file = await optionalFile(folder, 'generation_config.json');
  if (file === undefined) return undefined;
  const fields = await JsonFields.readFile(file);
  return {
    bosTokenIds: fields.tokenIds('bos_token_id'),
    eosTokenIds: fields.tokenIds('eos_token_id'),
    doSample: fields.bool('do_sample'),
    temperature: fields.number('temperature', { min: 0 }),
    topK: fields.int('top_k', { min: 0 }),
    topP: fields.number('top_p', SHARE),
    minP: fields.number('min_p', SHARE),
    typicalP: fields.number('typical_p', SHARE),
    repetitionPenalty: fields.number('repetition_penalty', { above: 0 }),
    maxLength: fields.int('max_length', { min: 0 }),
    maxNewTokens: fields.int('max_new_tokens', { min: 0 }),
  };
}
