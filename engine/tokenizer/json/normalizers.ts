/** `normalizer` of a tokenizer.json: what happens to a text before it is split. */
import type { JsonNode } from './json-node.ts';
import { readPattern } from './json-pattern.ts';

export interface JsonNormalizer {
  /** @throws FormatError for a text that the file's steps make too long */
  readonly normalize: (text: string) => string;
  /** See `JsonPattern`. */
  readonly isForeign: boolean;
}

/** A step that gives up when its result would be longer than `maxLength`. */
type Step = (text: string, maxLength: number) => string;

/** What one entry of the file does. */
interface Part {
  readonly step: Step;
  readonly isForeign?: boolean;
}

/** How long a text may become. The longest that Unicode does to one character is 18 (NFKD of U+FDFA); a file that says
 * `a` becomes `aa`, forty times over, asks for terabytes. */
const MAX_GROWTH = 32;
const FREE_LENGTH = 1024;

/** @throws FormatError, UnsupportedError naming the type */
export function readNormalizer(node: JsonNode): JsonNormalizer {
  const { step, isForeign = false } = readPart(node);
  return { normalize: (text) => step(text, MAX_GROWTH * text.length + FREE_LENGTH), isForeign };
}

function readPart(node: JsonNode): Part {
  if (node.isNull) return { step: (text) => text };
  const type = node.get('type').string();
  switch (type) {
    case 'Sequence':
      return readSequence(node);
    case 'Prepend': {
      const prefix = node.get('prepend').string();
      return {
        step: (text, maxLength) => {
          if (text === '') return text;
          checkLength(node, prefix.length + text.length, maxLength);
          return prefix + text;
        },
      };
    }
    case 'Replace':
      return readReplace(node);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return { step: (text) => text.normalize(type) };
    case 'Lowercase':
      return { step: (text) => text.toLowerCase() };
    default:
      throw node.unsupported(
        `the normalizer '${type}'`,
        'known are Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase',
      );
  }
}

function readSequence(node: JsonNode): Part {
  const parts = node.get('normalizers').items().map(readPart);
  return {
    step: (text, maxLength) => parts.reduce((done, { step }) => step(done, maxLength), text),
    isForeign: parts.some(({ isForeign }) => isForeign),
  };
}

function readReplace(node: JsonNode): Part {
  const { regex, isForeign } = readPattern(node.get('pattern'));
  const content = node.get('content').string();
  return {
    step: (text, maxLength) => {
      let length = text.length;
      return text.replace(regex, (match) => {
        length += content.length - match.length;
        checkLength(node, length, maxLength);
        return content;
      });
    },
    isForeign,
  };
}

function checkLength(node: JsonNode, length: number, maxLength: number): void {
  if (length > maxLength) throw node.fail(`makes a text longer than ${maxLength} characters`);
}
