/** A tokenizer from a GGUF file's metadata: which stages the keys ask for. Defaults where a key is absent are llama.cpp's.
 * Must not know how the file is read: it takes the keys as a map. Source: the GGUF specification, "Tokenizer". */
import { UnsupportedError } from '../errors.ts';
import type { MergeRules } from './bpe-merger.ts';
import { ByteLevelModel } from './byte-level-model.ts';
import { CharacterModel, spellingCharacters } from './character-model.ts';
import { endOfGenerationIds, isEndText } from './end-of-generation.ts';
import { GgufTokenizerKeys, type MetadataEntries } from './gguf-tokenizer-keys.ts';
import { mergeRules } from './merge-list.ts';
import { PairTable } from './pair-table.ts';
import type { PieceModel } from './piece-model.ts';
import { PipelineTokenizer, type SpecialIds, type TokenizerParts } from './pipeline-tokenizer.ts';
import { createSplitter, findPreTokenizer } from './pre-tokenizers.ts';
import { MAX_MATCHED_LENGTH, type MatchedToken } from './special-token-matcher.ts';
import type { TokenSpelling } from './token-decoder.ts';
import { byteTokenIds, parseByteToken, TOKEN_TYPES, TokenTable, type TokenType } from './token-table.ts';
import type { Tokenizer } from './tokenizer.ts';
import { VocabularyMerges } from './vocabulary-merges.ts';

const SPACE = '▁';

type ModelStages = Pick<TokenizerParts, 'normalize' | 'split'> & { model: PieceModel; spelling: TokenSpelling };

/** @param metadata  GGUF keys; of the tokenizer's it needs at least `tokenizer.ggml.model` and `.tokens`
 *  @param file      for error messages
 *  @throws FormatError naming the key that is missing, of the wrong type, or does not fit the others;
 *          UnsupportedError for a tokenizer model or pre-tokenizer that Quern does not have */
export function fromGgufMetadata(metadata: MetadataEntries, file: string): Tokenizer {
  const keys = new GgufTokenizerKeys(metadata, file);
  const kind = keys.string('tokenizer.ggml.model');
  if (kind !== 'llama' && kind !== 'gpt2') {
    throw new UnsupportedError(
      `the tokenizer model '${kind}'`,
      'known are llama (SentencePiece BPE) and gpt2 (byte-level BPE)',
    );
  }
  const isSpm = kind === 'llama';
  const texts = keys.strings('tokenizer.ggml.tokens');
  if (texts.length === 0) throw keys.fail('tokenizer.ggml.tokens', 'must hold at least one token');
  const preTokenizer = isSpm ? undefined : findPreTokenizer(keys.string('tokenizer.ggml.pre', 'default'));
  const ids = readIds(keys, texts.length, isSpm);
  const tokens = new TokenTable(texts, tokenTypes(keys, texts, { ...ids, isSpm }));
  const stages = isSpm
    ? sentencePieceStages(keys, tokens, ids.unknownId)
    : byteLevelStages(keys, tokens, { spec: preTokenizer!, unknownId: ids.unknownId });
  const specialTokens = tokens.index((type) => type === 'control' || type === 'user-defined' || type === 'unknown');
  return new PipelineTokenizer({
    ...stages,
    tokens,
    special: specialIds(keys, specialTokens, {
      ...ids,
      vocabSize: tokens.size,
      addsBosByDefault: preTokenizer?.addBos ?? true,
    }),
    matchedTokens: matchedTokens(keys, specialTokens),
    chatTemplate: keys.has('tokenizer.chat_template') ? keys.string('tokenizer.chat_template') : undefined,
  });
}

function matchedTokens(keys: GgufTokenizerKeys, specialTokens: ReadonlyMap<string, number>): MatchedToken[] {
  return [...specialTokens].map(([text, id]) => {
    if (text.length <= MAX_MATCHED_LENGTH) return { text, id };
    const problem = `token ${id} has ${text.length} characters; a special token has at most ${MAX_MATCHED_LENGTH}`;
    throw keys.fail('tokenizer.ggml.tokens', problem);
  });
}

interface NamedIds {
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly unknownId: number | undefined;
  readonly paddingId: number | undefined;
}

function readIds(keys: GgufTokenizerKeys, vocabSize: number, isSpm: boolean): NamedIds {
  // SentencePiece's own numbering, for files that do not say.
  const fallback = (id: number) => (isSpm && id < vocabSize ? id : undefined);
  return {
    bosId: keys.tokenId('tokenizer.ggml.bos_token_id', vocabSize, fallback(1)),
    eosId: keys.tokenId('tokenizer.ggml.eos_token_id', vocabSize, fallback(2)),
    unknownId: keys.tokenId('tokenizer.ggml.unknown_token_id', vocabSize, fallback(0)),
    paddingId: keys.tokenId('tokenizer.ggml.padding_token_id', vocabSize),
  };
}

function tokenTypes(
  keys: GgufTokenizerKeys,
  texts: readonly string[],
  known: NamedIds & { readonly isSpm: boolean },
): TokenType[] {
  const key = 'tokenizer.ggml.token_type';
  const numbers = keys.has(key) ? keys.numbers(key) : undefined;
  if (numbers !== undefined && numbers.length !== texts.length) {
    throw keys.fail(key, `must have one entry for each of the ${texts.length} tokens, has ${numbers.length}`);
  }
  return texts.map((text, id) => {
    // Some converters leave an end-of-turn marker 'normal'; then a user could type it.
    if (isEndText(text)) return 'control';
    if (numbers !== undefined) {
      const type = TOKEN_TYPES[numbers[id]!];
      if (type === undefined)
        throw keys.fail(key, `token ${id} has type ${numbers[id]}; types are 0 to ${TOKEN_TYPES.length - 1}`);
      if (type === 'byte' && parseByteToken(text) === undefined) {
        throw keys.fail(key, `token ${id} is of type byte but spelled '${text}', not <0x00> to <0xFF>`);
      }
      return type;
    }
    if (id === known.unknownId) return 'unknown';
    if (id === known.bosId || id === known.eosId || id === known.paddingId) return 'control';
    return known.isSpm && parseByteToken(text) !== undefined ? 'byte' : 'normal';
  });
}

function sentencePieceStages(keys: GgufTokenizerKeys, tokens: TokenTable, unknownId: number | undefined): ModelStages {
  const key = 'tokenizer.ggml.scores';
  const scores = keys.has(key) ? keys.numbers(key) : new Float32Array(tokens.size);
  if (scores.length !== tokens.size) {
    throw keys.fail(key, `must have one entry for each of the ${tokens.size} tokens, has ${scores.length}`);
  }
  if (scores.some(Number.isNaN)) throw keys.fail(key, 'must not be NaN');
  const idByText = tokens.mergeable();
  const extraSymbols = spellingCharacters(idByText);
  const addSpacePrefix = keys.bool('tokenizer.ggml.add_space_prefix', true);
  return {
    normalize: (text) => (addSpacePrefix ? SPACE : '') + text.replaceAll(' ', SPACE),
    split: undefined,
    model: new CharacterModel({
      idByText,
      extraSymbols,
      vocabSize: tokens.size,
      rules: new VocabularyMerges([...tokens.texts, ...extraSymbols], idByText, scores),
      byteIds: byteTokenIds(tokens),
      unknownId,
      fuseUnknown: true,
    }),
    spelling: { isByteLevel: false, replacements: [[SPACE, ' ']], numLeadingSpaces: addSpacePrefix ? 1 : 0 },
  };
}

function byteLevelStages(
  keys: GgufTokenizerKeys,
  tokens: TokenTable,
  options: { readonly spec: ReturnType<typeof findPreTokenizer>; readonly unknownId: number | undefined },
): ModelStages {
  const idByText = tokens.mergeable();
  const rules: MergeRules = readMerges(keys, tokens.texts, idByText);
  return {
    normalize: (text) => text,
    split: createSplitter(options.spec),
    model: new ByteLevelModel({
      idByText,
      rules,
      ignoreMerges: options.spec.ignoreMerges,
      unknownId: options.unknownId,
    }),
    spelling: { isByteLevel: true, replacements: [], numLeadingSpaces: 0 },
  };
}

function readMerges(
  keys: GgufTokenizerKeys,
  texts: readonly string[],
  idByText: ReadonlyMap<string, number>,
): MergeRules {
  const key = 'tokenizer.ggml.merges';
  const rules = mergeRules(keys.strings(key), texts, idByText);
  if (rules instanceof PairTable) return rules;
  throw keys.fail(key, `entry ${rules.index}: ${rules.problem}`);
}

function specialIds(
  keys: GgufTokenizerKeys,
  specialTokens: ReadonlyMap<string, number>,
  ids: NamedIds & { readonly vocabSize: number; readonly addsBosByDefault: boolean },
): SpecialIds {
  const addBos = keys.bool('tokenizer.ggml.add_bos_token', ids.addsBosByDefault);
  const addEos = keys.bool('tokenizer.ggml.add_eos_token', false);
  if (addBos && ids.bosId === undefined) {
    throw keys.fail('tokenizer.ggml.bos_token_id', 'is missing, though a BOS token is to be added');
  }
  if (addEos && ids.eosId === undefined) {
    throw keys.fail('tokenizer.ggml.eos_token_id', 'is missing, though an EOS token is to be added');
  }
  const named = ['tokenizer.ggml.eot_token_id', 'tokenizer.ggml.eom_token_id'].map((key) =>
    keys.tokenId(key, ids.vocabSize),
  );
  return {
    bosId: ids.bosId,
    eosId: ids.eosId,
    unknownId: ids.unknownId,
    paddingId: ids.paddingId,
    endOfGenerationIds: endOfGenerationIds([ids.eosId, ...named], specialTokens),
    prefixIds: addBos ? [ids.bosId!] : [],
    suffixIds: addEos ? [ids.eosId!] : [],
  };
}
