/** Pre-tokenizers by the names that GGUF files give them (`tokenizer.ggml.pre`). A pre-tokenizer cuts text into words,
 * numbers and runs of punctuation before BPE; merges never cross the cuts, and other cuts would mean other tokens than
 * the model was trained on. To add one, add an entry.
 *
 * The patterns are those of the models' own tokenizer.json, in that file's dialect (see `pattern.ts`). Which name means
 * which pattern: llama.cpp, `llama-vocab.cpp`. */
import { UnsupportedError } from '../errors.ts';
import { compilePattern } from './pattern.ts';
import { patternSplitter, type Splitter, sequenceSplitter } from './pattern-splitter.ts';

export interface PreTokenizerSpec {
  readonly names: readonly string[];
  /** Applied one after the other, each inside the pieces of the one before; matches and gaps are both pieces. */
  readonly patterns: readonly string[];
  /** A word that is a token is that token, even where merging would not arrive at it. */
  readonly ignoreMerges: boolean;
  /** Whether BOS is added when the file does not say. */
  readonly addBos: boolean;
}

/** Radford et al. 2019. English contractions, then a space may lead a word, a number or punctuation. Of a run of spaces
 * the last is left for the next word. */
export const GPT2_PATTERN = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

/** OpenAI's cl100k, with digits in groups of up to 3 (Llama 3) or one by one (Qwen 2). */
const cl100kPattern = (digits: string): string =>
  String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/** OpenAI's o200k: words end where upper case begins anew. */
const O200K_PATTERN = [
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  String.raw`\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`,
].join('|');

export const PRE_TOKENIZERS: readonly PreTokenizerSpec[] = [
  {
    // What llama.cpp falls back to for files that name none: punctuation apart, GPT-2, digits in groups of 3.
    names: ['default'],
    patterns: [String.raw`[\p{P}\$\+<=>\^~\|]+`, GPT2_PATTERN, String.raw`\p{N}+`, '[0-9][0-9][0-9]'],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ['gpt-2', 'phi-2', 'mpt', 'olmo', 'jais', 'exaone4', 'modern-bert'],
    patterns: [GPT2_PATTERN],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'lfm2', 'pixtral'],
    patterns: [cl100kPattern(String.raw`\p{N}{1,3}`)],
    ignoreMerges: true,
    addBos: true,
  },
  {
    names: ['dbrx', 'smaug-bpe'],
    patterns: [cl100kPattern(String.raw`\p{N}{1,3}`)],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ['qwen2', 'deepseek-r1-qwen', 'stablelm2', 'megrez', 'hunyuan', 'solar-open'],
    patterns: [cl100kPattern(String.raw`\p{N}`)],
    ignoreMerges: false,
    addBos: false,
  },
  {
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    patterns: [String.raw`\p{N}`, GPT2_PATTERN],
    ignoreMerges: false,
    addBos: false,
  },
  { names: ['gpt-4o', 'llama4'], patterns: [O200K_PATTERN], ignoreMerges: false, addBos: false },
];

/** Whether models that people use have this pattern: it is known to take time in proportion to the text. */
export function isKnownPattern(pattern: string): boolean {
  return PRE_TOKENIZERS.some(({ patterns }) => patterns.includes(pattern));
}

/** @throws UnsupportedError listing the known names */
export function findPreTokenizer(name: string): PreTokenizerSpec {
  const found = PRE_TOKENIZERS.find(({ names }) => names.includes(name));
  if (found !== undefined) return found;
  const known = PRE_TOKENIZERS.flatMap(({ names }) => names);
  throw new UnsupportedError(`the pre-tokenizer '${name}'`, `known are ${known.join(', ')}`, { preTokenizer: name });
}

export function createSplitter(spec: PreTokenizerSpec): Splitter {
  const splitters = spec.patterns.map((pattern) => patternSplitter(compilePattern(pattern), 'isolated'));
  return splitters.length === 1 ? splitters[0]! : sequenceSplitter(splitters);
}
