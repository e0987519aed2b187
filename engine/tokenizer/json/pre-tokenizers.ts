/** `pre_tokenizer` of a tokenizer.json: how a text is cut into the pieces that are merged apart. */
import { compileLiteral, compilePattern } from '../pattern.ts';
import { patternSplitter, type SplitBehavior, type Splitter, sequenceSplitter } from '../pattern-splitter.ts';
import { GPT2_PATTERN } from '../pre-tokenizers.ts';
import type { JsonNode } from './json-node.ts';
import { readPattern } from './json-pattern.ts';

export interface JsonPreTokenizer {
  /** In order; none when the whole text is one piece. */
  readonly steps: readonly Splitter[];
  /** The last step spells pieces in the byte alphabet: the model works on bytes. */
  readonly isByteLevel: boolean;
}

const BEHAVIORS: Readonly<Record<string, SplitBehavior>> = {
  Isolated: 'isolated',
  Removed: 'removed',
  MergedWithPrevious: 'merged-with-previous',
  MergedWithNext: 'merged-with-next',
  Contiguous: 'contiguous',
};

/** @throws FormatError, UnsupportedError naming the type */
export function readPreTokenizer(node: JsonNode): JsonPreTokenizer {
  if (node.isNull) return { steps: [], isByteLevel: false };
  const type = node.get('type').string();
  switch (type) {
    case 'Sequence':
      return readSequence(node);
    case 'ByteLevel':
      return { steps: byteLevelSteps(node), isByteLevel: true };
    case 'Split':
      return { steps: [split(node, readPattern(node.get('pattern')), 'Isolated')], isByteLevel: false };
    case 'Digits': {
      const behavior = node.get('individual_digits').bool(false) ? 'isolated' : 'contiguous';
      return { steps: [patternSplitter(compilePattern(String.raw`\p{N}`), behavior)], isByteLevel: false };
    }
    case 'Punctuation':
      return { steps: [split(node, compilePattern(String.raw`[\p{P}$+<=>^\x60|~]`), 'Isolated')], isByteLevel: false };
    case 'WhitespaceSplit':
      return { steps: [patternSplitter(compilePattern(String.raw`\s`), 'removed')], isByteLevel: false };
    case 'Metaspace':
      return { steps: metaspaceSteps(node), isByteLevel: false };
    default:
      throw node.unsupported(
        `the pre-tokenizer '${type}'`,
        'known are Sequence, ByteLevel, Split, Digits, Punctuation, WhitespaceSplit, Metaspace',
      );
  }
}

function readSequence(node: JsonNode): JsonPreTokenizer {
  const parts = node.get('pretokenizers').items().map(readPreTokenizer);
  const byteLevelAt = parts.findIndex(({ isByteLevel }) => isByteLevel);
  if (byteLevelAt >= 0 && byteLevelAt < parts.length - 1) {
    throw node.unsupported('a pre-tokenizer after ByteLevel', 'it would have to work on spelled bytes');
  }
  return { steps: parts.flatMap(({ steps }) => steps), isByteLevel: byteLevelAt >= 0 };
}

function split(node: JsonNode, pattern: RegExp, fallback: string): Splitter {
  const name = node.get('behavior').string(fallback);
  const behavior = BEHAVIORS[name];
  if (behavior === undefined)
    throw node.get('behavior').fail(`must be one of ${Object.keys(BEHAVIORS).join(', ')}, is ${name}`);
  return patternSplitter(pattern, behavior, node.get('invert').bool(false));
}

function byteLevelSteps(node: JsonNode): Splitter[] {
  const steps: Splitter[] = [];
  if (node.get('add_prefix_space').bool(true)) {
    steps.push((text, _atStart, emit) => emit(text.startsWith(' ') ? text : ` ${text}`));
  }
  if (node.get('use_regex').bool(true)) steps.push(patternSplitter(compilePattern(GPT2_PATTERN), 'isolated'));
  return steps;
}

/** Spaces become a visible character, which also begins the text, or each stretch of it, as if a space stood there. */
function metaspaceSteps(node: JsonNode): Splitter[] {
  const replacement = node.get('replacement').string('▁');
  const scheme = readPrependScheme(node);
  const steps: Splitter[] = [
    (text, atStart, emit) => {
      const replaced = text.replaceAll(' ', replacement);
      const prepends = scheme === 'always' || (scheme === 'first' && atStart);
      emit(prepends && !replaced.startsWith(replacement) ? replacement + replaced : replaced);
    },
  ];
  if (node.get('split').bool(true)) steps.push(patternSplitter(compileLiteral(replacement), 'merged-with-next'));
  return steps;
}

/** 'always', 'first' or 'never'; older files have a flag instead. */
export function readPrependScheme(node: JsonNode): string {
  const scheme = node.get('prepend_scheme').string(node.get('add_prefix_space').bool(true) ? 'always' : 'never');
  if (scheme === 'always' || scheme === 'first' || scheme === 'never') return scheme;
  throw node.get('prepend_scheme').fail(`must be always, first or never, is ${scheme}`);
}

/** All steps as one, or undefined when there are none. */
export function joinSteps(steps: readonly Splitter[]): Splitter | undefined {
  return steps.length > 1 ? sequenceSplitter(steps) : steps[0];
}
