/** The pattern of a `Split` or a `Replace`: `{"String": " "}` or `{"Regex": "\\s+"}`. */
import { compileLiteral, compilePattern } from '../pattern.ts';
import type { JsonNode } from './json-node.ts';

/** @throws FormatError, UnsupportedError for a regex that cannot be translated */
export function readPattern(node: JsonNode): RegExp {
  const literal = node.get('String');
  return literal.isNull ? compilePattern(node.get('Regex').string()) : compileLiteral(literal.string());
}
