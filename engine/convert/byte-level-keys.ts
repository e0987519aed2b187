/** GGUF keys of a byte-level BPE from `tokenizer.json`: its merges, and the name of its pre-tokenizer. GGUF has names where
 * `tokenizer.json` has patterns, so the patterns must be those of a name that Quern knows. */
import { type GgufValue, gguf } from '../../formats/gguf/gguf-value.ts';
import type { JsonNode } from '../tokenizer/json/json-node.ts';
import { GPT2_PATTERN, PRE_TOKENIZERS } from '../tokenizer/pre-tokenizers.ts';
import type { TokenizerKind } from './tokenizer-kind.ts';

/** @throws UnsupportedError for a normalizer or pre-tokenizer that GGUF has no name for */
export function byteLevelKeys(root: JsonNode): TokenizerKind {
  const model = root.get('model');
  const keys: [string, GgufValue][] = [
    ['tokenizer.ggml.model', gguf.string('gpt2')],
    [
      'tokenizer.ggml.pre',
      gguf.string(preTokenizerName(root.get('pre_tokenizer'), model.get('ignore_merges').bool(false))),
    ],
    ['tokenizer.ggml.merges', gguf.strings(model.get('merges').items().map(mergeText))],
  ];
  return { keys, ...normalizer(root.get('normalizer')) };
}

function preTokenizerName(node: JsonNode, ignoreMerges: boolean): string {
  const patterns = patternsOf(node);
  const found = PRE_TOKENIZERS.find(
    (spec) =>
      spec.ignoreMerges === ignoreMerges &&
      spec.patterns.length === patterns?.length &&
      spec.patterns.every((pattern, i) => pattern === patterns[i]),
  );
  if (found !== undefined) return found.names[0]!;
  const known = PRE_TOKENIZERS.map(({ names }) => names[0]).join(', ');
  throw node.unsupported('this pre-tokenizer in GGUF', `it is none of those that GGUF has names for: ${known}`);
}

/** The patterns that cut a text, outermost first; `undefined` for a step that is not a plain pattern. */
function patternsOf(node: JsonNode): readonly string[] | undefined {
  switch (node.isNull ? '' : node.get('type').string()) {
    case 'Sequence': {
      const parts = node.get('pretokenizers').items().map(patternsOf);
      return parts.some((part) => part === undefined) ? undefined : parts.flatMap((part) => part ?? []);
    }
    case 'ByteLevel':
      if (node.get('add_prefix_space').bool(true)) return undefined;
      return node.get('use_regex').bool(true) ? [GPT2_PATTERN] : [];
    case 'Split': {
      const isPlain = node.get('behavior').string('Isolated') === 'Isolated' && !node.get('invert').bool(false);
      const regex = node.get('pattern').get('Regex');
      return isPlain && !regex.isNull ? [regex.string()] : undefined;
    }
    case 'Digits':
      return [node.get('individual_digits').bool(false) ? String.raw`\p{N}` : String.raw`\p{N}+`];
    default:
      return undefined;
  }
}

/** `a b`, whichever of the two forms the file has. */
function mergeText(node: JsonNode): string {
  if (typeof node.value === 'string') return node.value;
  const parts = node.items().map((part) => part.string());
  if (parts.length === 2 && parts.every((part) => !part.includes(' '))) return parts.join(' ');
  throw node.unsupported('this merge in GGUF', 'a merge is two tokens without spaces');
}

function normalizer(node: JsonNode): Omit<TokenizerKind, 'keys'> {
  if (node.isNull) return { notes: [] };
  const type = node.get('type').string();
  if (type !== 'NFC')
    throw node.unsupported(`the normalizer '${type}' in GGUF`, 'byte-level tokenizers there have none');
  const note = 'the tokenizer normalizes text to NFC, for which GGUF has no key: give text that is in NFC, as most is';
  return { normalizesToNfc: true, notes: [note] };
}
