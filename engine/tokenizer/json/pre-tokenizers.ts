/** `pre_tokenizer` of a tokenizer.json: how a text is cut into the pieces that are merged apart. */
import { compileLiteral, compilePattern } from '../pattern.ts';
import { patternSplitter, type SplitBehavior, type Splitter, sequenceSplitter } from '../pattern-splitter.ts';
import { GPT2_PATTERN } from '../pre-tokenizers.ts';
import type { JsonNode } from './json-node.ts';
import { readPattern } from './json-pattern.ts';

export interface JsonPreTokenizer {
  /** Absent when the whole text is one piece. */
  readonly split: Splitter | undefined;
  /** The last step spells pieces in the byte alphabet: the model works on bytes. */
  readonly isByteLevel: boolean;
  /** See `JsonPattern`. */
  readonly isForeign: boolean;
}

/** What one entry of the file adds, in order. */
interface Steps {
  readonly steps: readonly Splitter[];
  readonly isByteLevel?: boolean;
  readonly isForeign?: boolean;
}

const BEHAVIORS: ReadonlyMap<string, SplitBehavior> = new Map([
  ['Isolated', 'isolated'],
  ['Removed', 'removed'],
  ['MergedWithPrevious', 'merged-with-previous'],
  ['MergedWithNext', 'merged-with-next'],
  ['Contiguous', 'contiguous'],
]);

/** @throws FormatError, UnsupportedError naming the type */
export function readPreTokenizer(node: JsonNode): JsonPreTokenizer {
  const { steps, isByteLevel = false, isForeign = false } = readSteps(node);
  return { split: steps.length > 1 ? sequenceSplitter(steps) : steps[0], isByteLevel, isForeign };
}

function readSteps(node: JsonNode): Steps {
  if (node.isNull) return { steps: [] };
  const type = node.get('type').string();
  switch (type) {
    case 'Sequence':
      return readSequence(node);
    case 'ByteLevel':
      return { steps: byteLevelSteps(node), isByteLevel: true };
    case 'Split': {
      const { regex, isForeign } = readPattern(node.get('pattern'));
      return { steps: [split(node, regex, 'Isolated')], isForeign };
    }
    case 'Digits': {
      const behavior = node.get('individual_digits').bool(false) ? 'isolated' : 'contiguous';
      return { steps: [patternSplitter(compilePattern(String.raw`\p{N}`), behavior)] };
    }
    case 'Punctuation':
      return { steps: [split(node, compilePattern(String.raw`[\p{P}$+<=>^\x60|~]`), 'Isolated')] };
    case 'WhitespaceSplit':
      return { steps: [patternSplitter(compilePattern(String.raw`\s`), 'removed')] };
    case 'Metaspace':
      return { steps: metaspaceSteps(node) };
    default:
      throw node.unsupported(
        `the pre-tokenizer '${type}'`,
        'known are Sequence, ByteLevel, Split, Digits, Punctuation, WhitespaceSplit, Metaspace',
      );
  }
}

function readSequence(node: JsonNode): Steps {
  const parts = node.get('pretokenizers').items().map(readSteps);
  const byteLevelAt = parts.findIndex(({ isByteLevel }) => isByteLevel);
  if (byteLevelAt >= 0 && byteLevelAt < parts.length - 1) {
    throw node.unsupported('a pre-tokenizer after ByteLevel', 'it would have to work on spelled bytes');
  }
  return {
    steps: parts.flatMap(({ steps }) => steps),
    isByteLevel: byteLevelAt >= 0,
    isForeign: parts.some(({ isForeign }) => isForeign),
  };
}

function split(node: JsonNode, pattern: RegExp, fallback: string): Splitter {
  const name = node.get('behavior').string(fallback);
  const behavior = BEHAVIORS.get(name);
  if (behavior === undefined)
    throw node.get('behavior').fail(`must be one of ${[...BEHAVIORS.keys()].join(', ')}, is ${name}`);
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
  const replacement = readMetaspace(node);
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

/** The one character that stands for a space. */
export function readMetaspace(node: JsonNode): string {
  const replacement = node.get('replacement').string('▁');
  if ([...replacement].length === 1) return replacement;
  throw node.get('replacement').fail(`must be one character, has ${replacement.length}`);
}

/** 'always', 'first' or 'never'; older files have a flag instead. */
export function readPrependScheme(node: JsonNode): string {
  const scheme = node.get('prepend_scheme').string(node.get('add_prefix_space').bool(true) ? 'always' : 'never');
  if (scheme === 'always' || scheme === 'first' || scheme === 'never') return scheme;
  throw node.get('prepend_scheme').fail(`must be always, first or never, is ${scheme}`);
}
