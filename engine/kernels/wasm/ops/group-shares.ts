/** Divides groups of weight rows among threads: three quarters in advance, one long run each, and the rest in pieces that
 * whoever is ready takes (tickets.ts). Which thread computes an output changes no bit of it.
 *
 *   groups   | thread 0            | thread 1            | piece | piece | ... | */
import { partEnd, partStart } from '../../part.ts';
import type { Machine } from '../machine.ts';
import type { GroupRange } from './matmul-tiles.ts';
import type { Share } from './native-op.ts';
import { takePieces } from './tickets.ts';

const FIXED_SHARE = 0.75;
const PIECES_PER_THREAD = 4;

/** Calls `visit` for ranges that, over all threads, cover 0 to `numGroups` once. */
export function divideGroups(
  machine: Machine,
  numGroups: number,
  share: Share,
  visit: (groups: GroupRange) => void,
): void {
  const { part } = share;
  const fixed = part.count === 1 ? numGroups : Math.floor(numGroups * FIXED_SHARE);
  const own = { first: partStart(fixed, part), end: partEnd(fixed, part) };
  if (own.end > own.first) visit(own);
  if (fixed === numGroups) return;
  const count = Math.min(numGroups - fixed, part.count * PIECES_PER_THREAD);
  takePieces(machine, share, count, (index) => {
    const piece = { index, count };
    visit({ first: fixed + partStart(numGroups - fixed, piece), end: fixed + partEnd(numGroups - fixed, piece) });
  });
}
