/** A made-up byte-level BPE vocabulary of any size, which any program that reads GGUF accepts.
 *
 *   ids   0 .. 255                the bytes
 *         256 ..                  merges: every token so far that is a word's beginning, with one more letter
 *         the last few            BOS, EOS, reserved ones
 *
 * Letters come in the order of their frequency in English, shorter tokens first, so that common beginnings of words are
 * tokens of 2 to 4 letters: a text takes about half as many tokens as letters. */
import { type GgufMetadata, gguf } from '../../formats/gguf/gguf-value.ts';
import { BYTE_TO_CHAR } from '../tokenizer/byte-alphabet.ts';
import { TOKEN_TYPES } from '../tokenizer/index.ts';

/** Tokens that are not special; each byte needs one. */
export const MIN_VOCAB_SIZE = 256;

const LETTERS = 'etaoinshrdlcumwfgypbvkjxqz';
/** A space, in the byte alphabet. */
const SPACE = 'Ġ';

/** The tokenizer's keys. BOS and EOS have the spellings that Llama 3 gave them. */
export function syntheticVocabulary(vocabSize: number, numSpecialTokens: number, preTokenizer: string): GgufMetadata {
  const numText = vocabSize - numSpecialTokens;
  const tokens = [...BYTE_TO_CHAR].sort();
  const merges: string[] = [];
  const beginnings = [SPACE, ...LETTERS];
  // Breadth first: `beginnings` grows by what it made, so that all tokens of n letters come before those of n + 1.
  for (let i = 0; tokens.length < numText; i++) {
    for (const letter of LETTERS) {
      if (tokens.length === numText) break;
      const beginning = beginnings[i]!;
      merges.push(`${beginning} ${letter}`);
      tokens.push(beginning + letter);
      beginnings.push(beginning + letter);
    }
  }
  for (let i = 0; i < numSpecialTokens; i++) tokens.push(specialText(i));
  const types = tokens.map((_, id) => TOKEN_TYPES.indexOf(id < numText ? 'normal' : 'control'));
  return new Map([
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    ['tokenizer.ggml.pre', gguf.string(preTokenizer)],
    ['tokenizer.ggml.tokens', gguf.strings(tokens)],
    ['tokenizer.ggml.token_type', gguf.int32s(types)],
    ['tokenizer.ggml.merges', gguf.strings(merges)],
    ['tokenizer.ggml.bos_token_id', gguf.uint32(numText)],
    ['tokenizer.ggml.eos_token_id', gguf.uint32(numText + 1)],
    ['tokenizer.ggml.add_bos_token', gguf.bool(true)],
  ]);
}

function specialText(index: number): string {
  if (index === 0) return '<|begin_of_text|>';
  return index === 1 ? '<|end_of_text|>' : `<|reserved_special_token_${index - 2}|>`;
}
