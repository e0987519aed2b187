/** Tries a converted tokenizer against its source. Where rules are stated in other words (scores for merges, a name for
 * patterns), running both on many texts shows whether the words mean the same. */
import type { Tokenizer } from '../tokenizer/index.ts';

/** Contractions, digits, runs of spaces, line ends, scripts with and without case or spaces, joined emoji, marks. */
const TEXTS: readonly string[] = [
  '',
  ' ',
  'a',
  'Once upon a time, there was a little girl named Lily.',
  "I'M sure they'll say it's 'fine', DON'T you?",
  '1 12 123 1234 12345678 3.14 1,000,000 ½ ²',
  'two  spaces,   three, trailing   ',
  '  leading\n\nlines\r\nand\ttabs \t \n end\n',
  'snake_case camelCase HTTPServer x=y+1; // {"k": [1, 2]} <b>bold</b> #!$%^&*~|`',
  'Größe, naïve café, ÀÉÎ, Ελληνικά, Русский текст, עברית, العربية, हिन्दी, ไทย',
  '日本語のテキスト、中文字符。한국어 단어',
  '🦙 👩‍👩‍👧‍👦 🏳️‍🌈 e\u0301 \u200b \u00a0 \u2028 \ufeff',
  '▁ Ġ <0x0A> [PAD0]',
];

const TOKENS_PER_TEXT = 16;
const MAX_TOKEN_TEXTS = 2000;

/** @param inNfc  try texts in Unicode's form NFC only
 * @returns what differs, in words; `undefined` when both give the same ids and the same text back */
export function findDifference(source: Tokenizer, converted: Tokenizer, inNfc: boolean): string | undefined {
  for (const probe of probeTexts(source)) {
    const text = inNfc ? probe.normalize('NFC') : probe;
    for (const options of [{}, { addSpecial: true, parseSpecial: true }]) {
      const expected = source.encode(text, options);
      const actual = converted.encode(text, options);
      const isSame = expected.length === actual.length && expected.every((id, i) => id === actual[i]);
      if (!isSame || source.decode(expected) !== converted.decode(expected)) {
        return `${JSON.stringify(text)} would be read otherwise: [${actual.slice(0, 20).join()}] for [${expected.slice(0, 20).join()}]`;
      }
    }
  }
  return undefined;
}

/** The texts above, and the vocabulary's own pieces in an order that puts unlike ones side by side. */
function* probeTexts(source: Tokenizer): Generator<string> {
  yield* TEXTS;
  const specials = [...source.specialTokens.keys()].slice(0, 64);
  yield specials.join('');
  yield specials.join(' x ');
  const { vocabSize } = source;
  const stride = coprimeStride(vocabSize);
  const numTexts = Math.min(MAX_TOKEN_TEXTS, Math.ceil(vocabSize / TOKENS_PER_TEXT));
  let id = 0;
  for (let i = 0; i < numTexts; i++) {
    const ids: number[] = [];
    for (let j = 0; j < TOKENS_PER_TEXT; j++) {
      ids.push(id);
      id = (id + stride) % vocabSize;
    }
    yield source.decode(ids, { skipSpecial: true });
  }
}

/** A step through the vocabulary that comes to every token. */
function coprimeStride(size: number): number {
  let stride = Math.max(1, Math.floor(size * 0.618));
  while (greatestCommonDivisor(stride, size) !== 1) stride++;
  return stride;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
