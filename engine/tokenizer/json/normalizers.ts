/** `normalizer` of a tokenizer.json: what happens to a text before it is split. */
import type { JsonNode } from './json-node.ts';
import { readPattern } from './json-pattern.ts';

export type Normalizer = (text: string) => string;

/** @throws FormatError, UnsupportedError naming the type */
export function readNormalizer(node: JsonNode): Normalizer {
  if (node.isNull) return (text) => text;
  const type = node.get('type').string();
  switch (type) {
    case 'Sequence': {
      const steps = node.get('normalizers').items().map(readNormalizer);
      return (text) => steps.reduce((done, step) => step(done), text);
    }
    case 'Prepend': {
      const prefix = node.get('prepend').string();
      return (text) => (text === '' ? text : prefix + text);
    }
    case 'Replace': {
      const pattern = readPattern(node.get('pattern'));
      const content = node.get('content').string();
      return (text) => text.replace(pattern, () => content);
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => text.normalize(type);
    case 'Lowercase':
      return (text) => text.toLowerCase();
    default:
      throw node.unsupported(
        `the normalizer '${type}'`,
        'known are Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase',
      );
  }
}
