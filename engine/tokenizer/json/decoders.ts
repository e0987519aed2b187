/** `decoder` of a tokenizer.json: how tokens spell text. Hugging Face runs these steps on a list of strings; Quern works
 * on bytes and token by token, so it takes the steps whose effect can be said that way. */
import type { TokenSpelling } from '../token-decoder.ts';
import type { JsonNode } from './json-node.ts';
import { readMetaspace, readPrependScheme } from './pre-tokenizers.ts';

interface SpellingDraft {
  isByteLevel: boolean;
  replacements: [string, string][];
  numLeadingSpaces: number;
  /** `Fuse` joins the tokens; a `Strip` after it is about the whole text. */
  isFused: boolean;
  /** How many times longer the replacements may make a token. */
  growth: number;
}

/** Replacements are for a character or two. */
const MAX_GROWTH = 32;

/** @throws FormatError, UnsupportedError naming the type */
export function readDecoder(node: JsonNode): TokenSpelling {
  const draft: SpellingDraft = { isByteLevel: false, replacements: [], numLeadingSpaces: 0, isFused: false, growth: 1 };
  if (node.isNull) throw node.unsupported('a tokenizer without a decoder', 'its tokens would be joined by spaces');
  readStep(node, draft);
  return draft;
}

function readStep(node: JsonNode, draft: SpellingDraft): void {
  const type = node.get('type').string();
  switch (type) {
    case 'Sequence':
      for (const step of node.get('decoders').items()) readStep(step, draft);
      return;
    case 'ByteLevel':
      draft.isByteLevel = true;
      return;
    case 'ByteFallback': // byte tokens are always spelled as bytes
      return;
    case 'Fuse':
      draft.isFused = true;
      return;
    case 'Replace': {
      const from = node.get('pattern').get('String');
      if (from.isNull) throw node.unsupported('a decoder that replaces a Regex', 'only a String can be replaced');
      addReplacement(node, draft, from.string(), node.get('content').string());
      return;
    }
    case 'Metaspace':
      draft.replacements.push([readMetaspace(node), ' ']);
      if (readPrependScheme(node) !== 'never') draft.numLeadingSpaces = 1;
      return;
    case 'Strip':
      readStrip(node, draft);
      return;
    default:
      throw node.unsupported(
        `the decoder '${type}'`,
        'known are Sequence, ByteLevel, ByteFallback, Fuse, Replace, Metaspace, Strip',
      );
  }
}

function addReplacement(node: JsonNode, draft: SpellingDraft, from: string, to: string): void {
  if (from === '') throw node.unsupported('a decoder that replaces nothing', 'a String must have characters');
  draft.growth *= Math.max(1, to.length / from.length);
  if (draft.growth > MAX_GROWTH) {
    throw node.unsupported('this decoder', `it may make a token more than ${MAX_GROWTH} times as long`);
  }
  draft.replacements.push([from, to]);
}

function readStrip(node: JsonNode, draft: SpellingDraft): void {
  const isLeadingSpaces = node.get('content').string() === ' ' && node.get('stop').index() === 0;
  if (!isLeadingSpaces || !draft.isFused) {
    throw node.unsupported(
      'this Strip decoder',
      'only spaces at the start of the whole text (after Fuse) can be stripped',
    );
  }
  draft.numLeadingSpaces = node.get('start').index();
}
