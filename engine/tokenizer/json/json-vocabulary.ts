/** `model.vocab` and `added_tokens` of a tokenizer.json as one token table. */
import { isEndText } from '../end-of-generation.ts';
import { MAX_MATCHED_LENGTH, type MatchedToken } from '../special-token-matcher.ts';
import { parseByteToken, TokenTable, type TokenType } from '../token-table.ts';
import type { JsonNode } from './json-node.ts';

export interface JsonVocabulary {
  readonly tokens: TokenTable;
  /** Text to id, of the model's and the added tokens. */
  readonly ids: ReadonlyMap<string, number>;
  readonly addedTokens: readonly MatchedToken[];
}

/** Ids may leave gaps, but a file must not make us allocate far beyond its own size. */
const MAX_GAP_FACTOR = 4;
const MIN_GAP = 4096;

/** @throws FormatError */
export function readVocabulary(root: JsonNode): JsonVocabulary {
  const vocab = root.get('model').get('vocab');
  const entries = Object.entries(vocab.object());
  const added = root.get('added_tokens');
  const addedNodes = added.isNull ? [] : added.items();
  const limit = MAX_GAP_FACTOR * (entries.length + addedNodes.length) + MIN_GAP;
  const texts: string[] = [];
  const ids = new Map<string, number>();
  const place = (text: string, id: unknown, node: JsonNode) => {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0)
      throw node.fail(`'${text}' must have a whole number as id`);
    if (id >= limit)
      throw node.fail(`'${text}' has id ${id}, far beyond the ${entries.length} tokens of the vocabulary`);
    while (texts.length <= id) texts.push('');
    texts[id] = text;
    ids.set(text, id);
  };
  for (const [text, id] of entries) place(text, id, vocab);
  for (const node of addedNodes) place(node.get('content').string(), node.get('id').value, node);
  if (texts.length === 0) throw vocab.fail('must hold at least one token');
  const addedTokens = addedNodes.map(readAddedToken);
  return { tokens: new TokenTable(texts, tokenTypes(root, texts, addedNodes)), ids, addedTokens };
}

/** Added tokens are found in the text as it is. Hugging Face finds those marked `normalized` in the normalized text, which
 * differs where a normalizer changes their neighbourhood: Llama 2's `<s>` would only be found after a space. */
function readAddedToken(node: JsonNode): MatchedToken {
  const text = node.get('content').string();
  if (text.length > MAX_MATCHED_LENGTH) {
    throw node.get('content').fail(`has ${text.length} characters; an added token has at most ${MAX_MATCHED_LENGTH}`);
  }
  return {
    id: node.get('id').index(),
    text,
    lstrip: node.get('lstrip').bool(false),
    rstrip: node.get('rstrip').bool(false),
    singleWord: node.get('single_word').bool(false),
  };
}

function tokenTypes(root: JsonNode, texts: readonly string[], addedNodes: readonly JsonNode[]): TokenType[] {
  const unknown = root.get('model').get('unk_token').string('');
  const hasBytes = root.get('model').get('byte_fallback').bool(false);
  const types = texts.map((text): TokenType => {
    if (text === '') return 'unused';
    if (text === unknown) return 'unknown';
    return hasBytes && parseByteToken(text) !== undefined ? 'byte' : 'normal';
  });
  for (const node of addedNodes) {
    const id = node.get('id').index();
    const text = texts[id]!;
    if (types[id] === 'unknown') continue;
    types[id] = node.get('special').bool(false) || isEndText(text) ? 'control' : 'user-defined';
  }
  return types;
}
