/** Which queries of a head see the same of some neighbouring keys: a call of a kernel takes those. Rows that see all of the keys
 * go together; of other rows (at the diagonal of a prompt, at the edge of a window) only heads of one row see the same.
 * Pure arithmetic over positions; no memory, no kernel. */
import { SECTION_KEYS } from '../generators/attention-scratch.ts';
import type { AttentionRun } from './attention-queries.ts';

/** Queries `first` to `first + count` - 1 of a head see keys `from` to `to` - 1 of a section. */
export interface Group {
  readonly first: number;
  readonly count: number;
  readonly from: number;
  readonly to: number;
}

/** What a layer's queries have in common. */
export interface GroupRules {
  readonly numSharing: number;
  readonly window: number;
  /** Queries that go together at most. */
  readonly maxGroup: number;
}

/** Of the `size` keys from `start` on, which are all of one section. */
export function groupsOf(
  { firstQuery, headQueries, firstPosition }: Pick<AttentionRun, 'firstQuery' | 'headQueries' | 'firstPosition'>,
  start: number,
  size: number,
  { numSharing, window, maxGroup }: GroupRules,
): Group[] {
  const offset = start % SECTION_KEYS;
  const groups: Group[] = [];
  // From the first row whose own position is the last key or later, to the last whose window reaches the first.
  const firstFull = (start + size - 1 - firstPosition) * numSharing - firstQuery;
  const endFull = Math.min(headQueries, (start + window - firstPosition) * numSharing - firstQuery);
  for (let i = 0; i < headQueries; ) {
    const isFull = i >= firstFull && i < endFull;
    const row = Math.floor((firstQuery + i) / numSharing);
    const limit = isFull ? endFull : Math.min(headQueries, (row + 1) * numSharing - firstQuery);
    const count = Math.min(maxGroup, limit - i);
    const position = firstPosition + row;
    const from = isFull ? 0 : Math.max(0, position - window + 1 - start);
    const to = isFull ? size : Math.min(size, position + 1 - start);
    if (from < to) groups.push({ first: i, count, from: offset + from, to: offset + to });
    i += count;
  }
  return groups;
}
