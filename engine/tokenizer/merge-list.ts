/** Merge rules from a list of pairs, best first, as byte-level vocabularies store them. */
import { PairTable } from './pair-table.ts';

/** What is wrong with an entry; the caller knows the file and the field. */
export interface MergeProblem {
  readonly index: number;
  readonly problem: string;
}

/** Heap keys stay exact up to this many ranks: see `bpe-merger.ts`. */
const MAX_MERGES = 2 ** 21;

/** @param merges  `"a b"`, or the two parts
 *  @param texts    of all tokens
 *  @param idByText the tokens that may take part and result
 *  @returns the rules, or the first entry that names something else than known tokens */
export function mergeRules(
  merges: readonly unknown[],
  texts: readonly string[],
  idByText: ReadonlyMap<string, number>,
): PairTable | MergeProblem {
  if (merges.length >= MAX_MERGES) return { index: MAX_MERGES, problem: `more than ${MAX_MERGES} merges` };
  const table = new PairTable(merges.length);
  let merged: number | undefined = 0;
  for (let rank = 0; rank < merges.length; rank++) {
    const pair = splitMerge(merges[rank]);
    if (pair === undefined) return { index: rank, problem: "must be two tokens: 'a b' or ['a', 'b']" };
    const [leftText, rightText] = pair;
    const left = idByText.get(leftText);
    const right = idByText.get(rightText);
    merged = joinedId(pair, merged, texts, idByText);
    if (left === undefined || right === undefined || merged === undefined) {
      const missing = left === undefined ? leftText : right === undefined ? rightText : leftText + rightText;
      return { index: rank, problem: `'${leftText}' + '${rightText}': '${missing}' is no token` };
    }
    table.add(left, right, rank, merged);
  }
  return table;
}

/** Lists mostly go on with the token they just made or the next one. Trying those two first spares most of the joining
 * and hashing of strings, which is most of the time that building a large vocabulary takes. */
function joinedId(
  [left, right]: readonly [string, string],
  last: number,
  texts: readonly string[],
  idByText: ReadonlyMap<string, number>,
): number | undefined {
  for (let id = last; id < last + 2 && id < texts.length; id++) {
    const text = texts[id]!;
    const isJoined = text.length === left.length + right.length && text.startsWith(left) && text.endsWith(right);
    if (isJoined && idByText.get(text) === id) return id;
  }
  return idByText.get(left + right);
}

/** A part may itself begin with a space only in the list form; in a string the first space after the first character parts. */
function splitMerge(merge: unknown): readonly [string, string] | undefined {
  if (typeof merge === 'string') {
    const space = merge.indexOf(' ', 1);
    return space < 0 || space === merge.length - 1 ? undefined : [merge.slice(0, space), merge.slice(space + 1)];
  }
  if (!Array.isArray(merge) || merge.length !== 2) return undefined;
  const [left, right] = merge as unknown[];
  return typeof left === 'string' && typeof right === 'string' ? [left, right] : undefined;
}
