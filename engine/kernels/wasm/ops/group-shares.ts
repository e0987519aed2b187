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
const MAX_PIECES_PER_THREAD = 4;
/** Groups that are worth a piece. */
const LEAST_PIECE = 4;

/** Calls `visit` for ranges that, over all threads, cover 0 to `numGroups` once. Each begins with an even group, as kernels
 * may take two at a time. */
export function divideGroups(
  machine: Machine,
  numGroups: number,
  share: Share,
  visit: (groups: GroupRange) => void,
): void {
  const { part } = share;
  const numPairs = Math.ceil(numGroups / 2);
  const fixed = part.count === 1 ? numPairs : Math.floor(numPairs * FIXED_SHARE);
  const visitPairs = (first: number, end: number) => {
    if (end > first) visit({ first: 2 * first, end: Math.min(numGroups, 2 * end) });
  };
  visitPairs(partStart(fixed, part), partEnd(fixed, part));
  if (fixed === numPairs) return;
  const rest = numPairs - fixed;
  const perThread = Math.floor((2 * rest) / (LEAST_PIECE * part.count));
  const count = Math.min(rest, part.count * Math.min(MAX_PIECES_PER_THREAD, Math.max(1, perThread)));
  takePieces(machine, share, count, (index) => {
    const piece = { index, count };
    visitPairs(fixed + partStart(rest, piece), fixed + partEnd(rest, piece));
  });
}
