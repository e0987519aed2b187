/** Tokenizers, templates and conversations that the tests of this folder share. */

import type { ChatMessage } from '../../../engine/chat/index.ts';
import { fromGgufMetadata, type Tokenizer } from '../../../engine/tokenizer/index.ts';
import { byteLevelMetadata, sentencePieceMetadata } from '../tokenizer/small-tokenizers.ts';

export const CHATML = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

/** Some share characters, and `‖` one of a single character. */
const SPECIAL = ['<|im_start|>', '<|im_end|>', '<s>', '</s>', '<s></s>', '‖'];

/** Bytes and a few merges, two of which may cross from a template into a content. */
export function byteLevelTokenizer(): Tokenizer {
  const merges = ['H e', 'l l', 'Ġ He', 'He ll', 'u s', 'e r', 'us er', '< |'];
  return fromGgufMetadata(byteLevelMetadata({ merges, special: SPECIAL }), 'test.gguf');
}

/** Puts BOS `<s>` in front of a text, and a space in front of each stretch between special tokens. */
export function sentencePieceTokenizer(): Tokenizer {
  const pieces = [...new Set('▁HeloU:rsantx[]IN/STy ,.')].map((char): [string, number] => [char, -10]);
  return fromGgufMetadata(sentencePieceMetadata([...pieces, ['▁He', -1], ['ll', -2]]), 'test.gguf');
}

export function user(content: string): ChatMessage {
  return { role: 'user', content };
}

export function assistant(content: string): ChatMessage {
  return { role: 'assistant', content };
}

/** Control tokens among `ids`, as text. */
export function controlTokens(tokenizer: Tokenizer, ids: Iterable<number>): string[] {
  return [...ids].filter((id) => tokenizer.tokenType(id) === 'control').map((id) => tokenizer.tokenText(id));
}
