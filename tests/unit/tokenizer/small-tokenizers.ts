/** Tokenizers small enough to follow by hand, and the goldens of two trained ones (see `golden/*.json` for their maker). */
import { readFileSync } from 'node:fs';
import { BYTE_TO_CHAR } from '../../../engine/tokenizer/byte-alphabet.ts';
import type { MetadataEntries } from '../../../engine/tokenizer/index.ts';

export type Entries = Map<string, { readonly value: unknown }>;

export interface Golden {
  readonly tokenizer: {
    readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly [string, string][] };
    readonly [part: string]: unknown;
  };
  readonly encode: readonly { readonly text: string; readonly ids: number[]; readonly special: number[] }[];
  readonly decode: readonly { readonly ids: number[]; readonly text: string; readonly skipped: string }[];
}

export function readGolden(name: 'byte-level' | 'sentencepiece'): Golden {
  return JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8')) as Golden;
}

export function entries(values: Readonly<Record<string, unknown>>): Entries {
  return new Map(Object.entries(values).map(([key, value]) => [`tokenizer.${key}`, { value }]));
}

/** 256 bytes (id = byte), the given merges from 256 on, then `special` as control tokens. */
export function byteLevelMetadata(options: {
  readonly merges: readonly string[];
  readonly special?: readonly string[];
  readonly pre?: string;
}): Entries {
  const merged = [...new Set(options.merges.map((merge) => merge.replace(' ', '')))];
  const special = options.special ?? [];
  const tokens = [...BYTE_TO_CHAR, ...merged, ...special];
  return entries({
    'ggml.model': 'gpt2',
    'ggml.pre': options.pre ?? 'gpt-2',
    'ggml.tokens': tokens,
    'ggml.token_type': Int32Array.from(tokens, (text) => (special.includes(text) ? 3 : 1)),
    'ggml.merges': options.merges,
  });
}

/** <unk> <s> </s>, 256 bytes from 3, then `pieces` (text, score) from 259. */
export function sentencePieceMetadata(pieces: readonly (readonly [string, number])[]): Entries {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  return entries({
    'ggml.model': 'llama',
    'ggml.tokens': ['<unk>', '<s>', '</s>', ...bytes, ...pieces.map(([text]) => text)],
    'ggml.scores': Float32Array.from([0, 0, 0, ...bytes.map(() => 0), ...pieces.map(([, score]) => score)]),
    'ggml.token_type': Int32Array.from([2, 3, 3, ...bytes.map(() => 6), ...pieces.map(() => 1)]),
  });
}

/** The trained SentencePiece-like golden as GGUF stores it: no merges, a score per token that falls with its rank. */
export function goldenAsSentencePiece(golden: Golden): Entries {
  const byId = Object.entries(golden.tokenizer.model.vocab).sort(([, a], [, b]) => a - b);
  const pieces = byId.slice(259).map(([text], i): [string, number] => [text, -i]);
  return sentencePieceMetadata(pieces);
}

/** Vocabulary size of what the builders above return. */
export function vocabSizeOf(metadata: MetadataEntries): number {
  return (metadata.get('tokenizer.ggml.tokens')!.value as string[]).length;
}

export type Json = Record<string, unknown>;

/** A tokenizer.json of six tokens, with `parts` and parts of its `model` replaced. */
export const tinyTokenizerJson = (parts: Json = {}, model: Json = {}): Json => ({
  model: {
    type: 'BPE',
    vocab: { a: 0, b: 1, ab: 2, '▁': 3, '▁a': 4, '<unk>': 5 },
    merges: ['a b', '▁ a'],
    unk_token: '<unk>',
    ...model,
  },
  decoder: {
    type: 'Sequence',
    decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'Fuse' }],
  },
  added_tokens: [],
  ...parts,
});
