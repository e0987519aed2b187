/** The pattern of a `Split` or a `Replace`: `{"String": " "}` or `{"Regex": "\\s+"}`, and what is done about patterns that
 * are made to take for ever: `(a|a)*b` has two ways to read each `a`, and tries all 2ⁿ of them on a text of n. */
import { TimeLimit } from '../../util/time-limit.ts';
import { compileLiteral, compilePattern } from '../pattern.ts';
import { isKnownPattern } from '../pre-tokenizers.ts';
import type { JsonNode } from './json-node.ts';

export interface JsonPattern {
  readonly regex: RegExp;
  /** Not one of the published patterns, so nobody has seen yet how long it may take. */
  readonly isForeign: boolean;
}

/** A sound pattern takes 0.1 µs per character. The rest is for machines that are slow or busy. */
const LIMIT_MS = 1000;
const LIMIT_MS_PER_CHARACTER = 0.01;

/** @throws FormatError, UnsupportedError for a regex that cannot be translated */
export function readPattern(node: JsonNode): JsonPattern {
  const literal = node.get('String');
  if (!literal.isNull) return { regex: compileLiteral(literal.string()), isForeign: false };
  const source = node.get('Regex').string();
  return { regex: compilePattern(source), isForeign: !isKnownPattern(source) };
}

/** For `PipelineTokenizer`: runs what uses foreign patterns, and gives up when it takes too long.
 * @param node  where the patterns stand, named in the error, an UnsupportedError */
export function timeLimit(node: JsonNode): (textLength: number, work: () => void) => void {
  const limit = new TimeLimit();
  return (textLength, work) => {
    const limitMs = Math.ceil(LIMIT_MS + LIMIT_MS_PER_CHARACTER * textLength);
    let hasEnded: boolean;
    try {
      hasEnded = limit.run(limitMs, work);
    } catch (error) {
      // V8 ran out of places to back up to.
      if (error instanceof RangeError) throw node.unsupported('a pattern that takes too much memory', error.message);
      throw error;
    }
    if (hasEnded) return;
    throw node.unsupported('a pattern that takes too long', `not done with ${textLength} characters in ${limitMs} ms`);
  };
}
