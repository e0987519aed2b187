/** A Hugging Face tokenizer as GGUF keys. GGUF names a tokenizer's kind and leaves the rest to the program that reads it, so
 * only what those names cover can be carried over; the result is then tried on sample texts against the source. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type GgufMetadata, type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import { readJsonFile } from '../../formats/json/read-json-file.ts';
import { UnsupportedError } from '../errors.ts';
import { readFolderTokenizer } from '../loader/load-tokenizer.ts';
import { fromGgufMetadata, TOKEN_TYPES, type Tokenizer } from '../tokenizer/index.ts';
import { JsonNode } from '../tokenizer/json/json-node.ts';
import { byteLevelKeys } from './byte-level-keys.ts';
import { sentencePieceKeys } from './sentence-piece-keys.ts';
import { findDifference } from './tokenizer-probes.ts';

export interface GgufTokenizer {
  readonly metadata: GgufMetadata;
  readonly notes: readonly string[];
}

const MAX_TOKENIZER_BYTES = 2 ** 27;

/** @param folder     with `tokenizer.json`, or below a folder that has it
 * @param vocabSize  rows of the embedding; tokens that the tokenizer lacks are filled up with unused ones
 * @throws UnsupportedError saying what GGUF has no key for, FormatError, FileAccessError when there is no tokenizer */
export async function ggufTokenizer(folder: string, vocabSize: number): Promise<GgufTokenizer> {
  const source = await readFolderTokenizer(folder);
  const file = [folder, dirname(resolve(folder))]
    .map((place) => join(place, 'tokenizer.json'))
    .find((path) => existsSync(path))!;
  const root = new JsonNode(await readJsonFile(file, { maxBytes: MAX_TOKENIZER_BYTES }), file);
  refuseUncarried(root, source, vocabSize, file);
  const kind = isByteLevel(root.get('decoder')) ? byteLevelKeys(root) : sentencePieceKeys(root, source, vocabSize);
  const metadata = new Map<string, GgufValue>([...kind.keys, ...commonKeys(source, vocabSize)]);
  const difference = findDifference(source, fromGgufMetadata(metadata, file), kind.normalizesToNfc === true);
  if (difference !== undefined) {
    throw new UnsupportedError(`${file}: converting this tokenizer to GGUF`, difference);
  }
  return { metadata, notes: kind.notes };
}

function isByteLevel(decoder: JsonNode): boolean {
  const type = decoder.get('type').string('');
  return type === 'ByteLevel' || (type === 'Sequence' && decoder.get('decoders').items().some(isByteLevel));
}

function refuseUncarried(root: JsonNode, source: Tokenizer, vocabSize: number, file: string): void {
  if (source.vocabSize > vocabSize) {
    throw new UnsupportedError(
      `${file}: a tokenizer of ${source.vocabSize} tokens`,
      `the model has embeddings for ${vocabSize}; GGUF needs one for each token`,
    );
  }
  const added = root.get('added_tokens');
  for (const node of added.isNull ? [] : added.items()) {
    for (const flag of ['lstrip', 'rstrip', 'single_word']) {
      if (node.get(flag).bool(false)) throw node.unsupported(`${flag} in GGUF`, 'there is no key for it');
    }
  }
  const around = [...source.encode('', { addSpecial: true })];
  const expected = [...(source.addBos ? [source.bosId] : []), ...(source.addEos ? [source.eosId] : [])];
  if (around.join() !== expected.join()) {
    throw root
      .get('post_processor')
      .unsupported(`putting tokens ${around.join(', ')} around a text in GGUF`, 'there are keys for BOS and EOS only');
  }
}

function commonKeys(source: Tokenizer, vocabSize: number): [string, GgufValue][] {
  const texts: string[] = [];
  const types: number[] = [];
  for (let id = 0; id < vocabSize; id++) {
    const text = id < source.vocabSize ? source.tokenText(id) : '';
    // Embeddings are often padded to a round number; a token without text is one of those.
    texts.push(text === '' ? `[PAD${id}]` : text);
    types.push(TOKEN_TYPES.indexOf(text === '' ? 'unused' : source.tokenType(id)));
  }
  return [
    ['tokenizer.ggml.tokens', gguf.strings(texts)],
    ['tokenizer.ggml.token_type', gguf.int32s(types)],
    ...idKey('bos', source.bosId),
    ...idKey('eos', source.eosId),
    ...idKey('unknown', source.unknownId),
    ...idKey('padding', source.paddingId),
    ['tokenizer.ggml.add_bos_token', gguf.bool(source.addBos)],
    ['tokenizer.ggml.add_eos_token', gguf.bool(source.addEos)],
    ...(source.chatTemplate === undefined
      ? []
      : ([['tokenizer.chat_template', gguf.string(source.chatTemplate)]] as [string, GgufValue][])),
  ];
}

function idKey(role: string, id: number | undefined): [string, GgufValue][] {
  return id === undefined ? [] : [[`tokenizer.ggml.${role}_token_id`, gguf.uint32(id)]];
}
