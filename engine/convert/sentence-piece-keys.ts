/** GGUF keys of a SentencePiece-style BPE from `tokenizer.json`. There, merges are a list of pairs; in GGUF any two tokens
 * merge that join to a token, the one with the best score first. A token's score is therefore the place of the first
 * merge that makes it. */
import { type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import type { JsonNode } from '../tokenizer/json/json-node.ts';
import type { TokenizerKind } from './tokenizer-kind.ts';

const SPACE = '▁';

/** @throws UnsupportedError for one without byte fallback, whose unknown characters GGUF treats otherwise */
export function sentencePieceKeys(root: JsonNode, source: Tokenizer, vocabSize: number): TokenizerKind {
  const model = root.get('model');
  if (!model.get('byte_fallback').bool(false)) {
    throw model.unsupported('BPE without byte_fallback in GGUF', "known are byte-level BPE and SentencePiece's");
  }
  const keys: [string, GgufValue][] = [
    ['tokenizer.ggml.model', gguf.string('llama')],
    ['tokenizer.ggml.pre', gguf.string('default')],
    ['tokenizer.ggml.scores', gguf.float32s(scores(model.get('merges').items(), source, vocabSize))],
    ['tokenizer.ggml.add_space_prefix', gguf.bool(addsSpacePrefix(source))],
  ];
  return { keys, notes: [] };
}

function scores(merges: readonly JsonNode[], source: Tokenizer, vocabSize: number): Float32Array {
  const rankOf = new Map<string, number>();
  merges.forEach((node, rank) => {
    const parts = typeof node.value === 'string' ? node.value.split(' ') : node.items().map((part) => part.string());
    const joined = parts.join('');
    if (!rankOf.has(joined)) rankOf.set(joined, rank);
  });
  const scoreOf = (id: number): number => -(rankOf.get(source.tokenText(id)) ?? merges.length);
  return Float32Array.from({ length: vocabSize }, (_, id) => (id < source.vocabSize ? scoreOf(id) : -merges.length));
}

/** Whether a text is encoded as if a space stood before it. */
function addsSpacePrefix(source: Tokenizer): boolean {
  const first = source.encode('a')[0];
  return first !== undefined && source.tokenText(first).startsWith(SPACE);
}
