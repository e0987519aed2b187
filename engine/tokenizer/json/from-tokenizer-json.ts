/** A tokenizer from Hugging Face's `tokenizer.json`: which stages the file describes, as the stages Quern has.
 * Source: huggingface/tokenizers, the `serde` of each component. */
import { ByteLevelModel } from '../byte-level-model.ts';
import { CharacterModel } from '../character-model.ts';
import { endOfGenerationIds } from '../end-of-generation.ts';
import { mergeRules } from '../merge-list.ts';
import { PairTable } from '../pair-table.ts';
import type { PieceModel } from '../piece-model.ts';
import { PipelineTokenizer, type SpecialIds } from '../pipeline-tokenizer.ts';
import { byteTokenIds } from '../token-table.ts';
import type { Tokenizer } from '../tokenizer.ts';
import { readDecoder } from './decoders.ts';
import { JsonNode } from './json-node.ts';
import { timeLimit } from './json-pattern.ts';
import { type JsonVocabulary, readVocabulary } from './json-vocabulary.ts';
import { readNormalizer } from './normalizers.ts';
import { readPostProcessor, type TokensAround } from './post-processor.ts';
import { readPreTokenizer } from './pre-tokenizers.ts';

/** What `tokenizer_config.json` adds: which tokens have which role. */
export interface TokenizerConfig {
  readonly bosToken?: string | undefined;
  readonly eosToken?: string | undefined;
  readonly unkToken?: string | undefined;
  readonly padToken?: string | undefined;
  /** Whether BOS, EOS are added; undefined leaves it to `tokenizer.json`. */
  readonly addBosToken?: boolean | undefined;
  readonly addEosToken?: boolean | undefined;
  /** By name; `default` is the one used. */
  readonly chatTemplates?: ReadonlyMap<string, string> | undefined;
}

/** @param json    the parsed file
 *  @param config  from the `tokenizer_config.json` beside it, if there is one
 *  @param file    for error messages
 *  @throws FormatError naming the field that is missing, of the wrong type, or does not fit the others;
 *          UnsupportedError naming the model, normalizer, pre-tokenizer, decoder or post-processor that Quern lacks */
export function fromTokenizerJson(json: unknown, config: TokenizerConfig | undefined, file: string): Tokenizer {
  const root = new JsonNode(json, file);
  const model = root.get('model');
  checkModel(model);
  const vocabulary = readVocabulary(root);
  const preTokenizer = readPreTokenizer(root.get('pre_tokenizer'));
  const normalizer = readNormalizer(root.get('normalizer'));
  const foreign = preTokenizer.isForeign ? 'pre_tokenizer' : normalizer.isForeign ? 'normalizer' : undefined;
  const unknown = model.get('unk_token').string('');
  const unknownId = unknown === '' ? undefined : vocabulary.ids.get(unknown);
  if (unknown !== '' && unknownId === undefined) throw model.get('unk_token').fail(`'${unknown}' is no token`);
  return new PipelineTokenizer({
    tokens: vocabulary.tokens,
    special: specialIds(root, config ?? {}, vocabulary),
    matchedTokens: vocabulary.addedTokens,
    normalize: normalizer.normalize,
    split: preTokenizer.split,
    withinTime: foreign === undefined ? undefined : timeLimit(root.get(foreign)),
    model: readModel(model, vocabulary, { isByteLevel: preTokenizer.isByteLevel, unknownId }),
    spelling: readDecoder(root.get('decoder')),
    chatTemplate: config?.chatTemplates?.get('default'),
  });
}

function checkModel(model: JsonNode): void {
  const type = model.get('type').string('BPE');
  if (type !== 'BPE') throw model.unsupported(`the tokenizer model '${type}'`, 'known is BPE');
  for (const name of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    if (model.get(name).string('') !== '') throw model.unsupported(name, 'only BPE without word affixes is known');
  }
  if (!model.get('dropout').isNull && model.get('dropout').value !== 0) {
    throw model.unsupported('dropout', 'it makes tokenizing random; it is for training');
  }
}

function readModel(
  model: JsonNode,
  { tokens }: JsonVocabulary,
  options: { readonly isByteLevel: boolean; readonly unknownId: number | undefined },
): PieceModel {
  const idByText = tokens.mergeable();
  const merges = model.get('merges');
  const rules = mergeRules(merges.array(), tokens.texts, idByText);
  if (!(rules instanceof PairTable)) throw merges.fail(`entry ${rules.index}: ${rules.problem}`);
  const { unknownId } = options;
  if (options.isByteLevel) {
    return new ByteLevelModel({ idByText, rules, unknownId, ignoreMerges: model.get('ignore_merges').bool(false) });
  }
  if (model.get('ignore_merges').bool(false)) throw model.unsupported('ignore_merges without ByteLevel', 'not known');
  return new CharacterModel({
    idByText,
    extraSymbols: [],
    vocabSize: tokens.size,
    rules,
    byteIds: byteTokenIds(tokens),
    unknownId,
    fuseUnknown: model.get('fuse_unk').bool(false),
  });
}

function specialIds(root: JsonNode, config: TokenizerConfig, { tokens, ids, addedTokens }: JsonVocabulary): SpecialIds {
  const idOf = (text: string | undefined) => (text === undefined ? undefined : ids.get(text));
  const processor = root.get('post_processor');
  const around = readPostProcessor(processor);
  const outside = [...around.prefixIds, ...around.suffixIds].find((id) => id >= tokens.size);
  if (outside !== undefined) throw processor.fail(`names token ${outside}; the vocabulary has ${tokens.size}`);
  const bosId = config.bosToken === undefined ? around.prefixIds[0] : idOf(config.bosToken);
  const eosId = idOf(config.eosToken);
  return {
    bosId,
    eosId,
    unknownId: idOf(config.unkToken) ?? idOf(root.get('model').get('unk_token').string('')),
    paddingId: idOf(config.padToken),
    endOfGenerationIds: endOfGenerationIds([eosId], new Map(addedTokens.map(({ text, id }) => [text, id]))),
    ...applyFlags(around, config, { bosId, eosId }),
  };
}

/** The flags of `tokenizer_config.json` have the last word over the template. */
function applyFlags(
  { prefixIds, suffixIds }: TokensAround,
  { addBosToken, addEosToken }: TokenizerConfig,
  { bosId, eosId }: Pick<SpecialIds, 'bosId' | 'eosId'>,
): TokensAround {
  return {
    prefixIds: withFlag(prefixIds, bosId, addBosToken),
    suffixIds: withFlag(suffixIds, eosId, addEosToken),
  };
}

function withFlag(ids: readonly number[], id: number | undefined, isWanted: boolean | undefined): readonly number[] {
  if (id === undefined || isWanted === undefined || isWanted === ids.includes(id)) return ids;
  return isWanted ? [id] : ids.filter((other) => other !== id);
}
