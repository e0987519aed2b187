/** `tokenizer_config.json` of a Hugging Face model folder: special tokens by role, and the chat template. Typed, not
 * applied; `tokenizer.json` itself belongs to the tokenizer.
 *
 * Source: PreTrainedTokenizerBase of huggingface/transformers. */
import { isUtf8 } from 'node:buffer';
import { formatFailure } from '../format-failure.ts';
import { JsonFields } from '../json/json-fields.ts';
import { isJsonObject } from '../json/parse-json.ts';
import { readBoundedFile } from '../json/read-json-file.ts';
import { optionalFile } from './optional-file.ts';

/** Every field is undefined when the file lacks it or says `null`. */
export interface HfTokenizerConfig {
  readonly tokenizerClass: string | undefined;
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly unkToken: string | undefined;
  readonly padToken: string | undefined;
  readonly addBosToken: boolean | undefined;
  readonly addEosToken: boolean | undefined;
  readonly addPrefixSpace: boolean | undefined;
  readonly cleanUpTokenizationSpaces: boolean | undefined;
  /** In tokens; 1e30 where the authors set none. */
  readonly modelMaxLength: number | undefined;
  /** Jinja text by name. The one used unless asked otherwise is `default`. */
  readonly chatTemplates: ReadonlyMap<string, string>;
}

const MAX_BYTES = 2 ** 25;

/** @returns undefined when the folder has no `tokenizer_config.json`.
 * @throws FormatError naming the field and its byte. */
export async function readHfTokenizerConfig(folder: string): Promise<HfTokenizerConfig | undefined> {
  const file = await optionalFile(folder, 'tokenizer_config.json');
  if (file === undefined) return undefined;
  const fields = await JsonFields.readFile(file, { maxBytes: MAX_BYTES });
  return {
    tokenizerClass: fields.string('tokenizer_class'),
    bosToken: readToken(fields, 'bos_token'),
    eosToken: readToken(fields, 'eos_token'),
    unkToken: readToken(fields, 'unk_token'),
    padToken: readToken(fields, 'pad_token'),
    addBosToken: fields.bool('add_bos_token'),
    addEosToken: fields.bool('add_eos_token'),
    addPrefixSpace: fields.bool('add_prefix_space'),
    cleanUpTokenizationSpaces: fields.bool('clean_up_tokenization_spaces'),
    modelMaxLength: fields.number('model_max_length', { min: 1 }),
    chatTemplates: await readChatTemplates(folder, fields),
  };
}

/** A token is its text, or an object with the text as `content`. */
function readToken(fields: JsonFields, name: string): string | undefined {
  return isJsonObject(fields.object[name]) ? fields.fields(name)!.string('content') : fields.string(name);
}

/** One template as text, several as `[{ "name": ..., "template": ... }]`, or, in newer folders, one in its own file. */
async function readChatTemplates(folder: string, fields: JsonFields): Promise<ReadonlyMap<string, string>> {
  const templates = new Map<string, string>();
  const value = fields.object.chat_template;
  if (Array.isArray(value)) {
    for (const entry of value) {
      const { name, template } = isJsonObject(entry) ? entry : {};
      if (typeof name !== 'string' || typeof template !== 'string') {
        throw fields.fail('chat_template', 'must be a string or an array of objects with a name and a template');
      }
      templates.set(name, template);
    }
    return templates;
  }
  const template = fields.string('chat_template') ?? (await readTemplateFile(folder));
  if (template !== undefined) templates.set('default', template);
  return templates;
}

async function readTemplateFile(folder: string): Promise<string | undefined> {
  const file = await optionalFile(folder, 'chat_template.jinja');
  if (file === undefined) return undefined;
  const bytes = await readBoundedFile(file, MAX_BYTES);
  if (!isUtf8(bytes)) throw formatFailure({ file, byteOffset: 0, field: 'template' }, 'the text is not valid UTF-8');
  return Buffer.from(bytes).toString('utf8');
}
