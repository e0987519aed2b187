/** Divides groups of weight rows among threads: three quarters in advance, one long run each, and the rest in pieces that
 * whoever is ready takes. On a machine with other work to do, threads are never equally fast; so they finish together.
 * Which thread computes an output changes no bit of it.
 *
 *   groups   | thread 0            | thread 1            | piece | piece | ... |
 *
 * The next piece is 12 bits of a word in shared memory. Above them is the generation of the gate (kernels/part.ts), which is
 * the same for all threads while they divide the same groups and differs from that of any division before. Nobody has to
 * reset the word, not even after a thread died in the middle. Ops between two meetings have a word each. */
import { partEnd, partStart } from '../../part.ts';
import { TICKETS_ADDRESS } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import type { GroupRange } from './matmul-tiles.ts';
import type { Share } from './native-op.ts';

const FIXED_SHARE = 0.75;
const PIECES_PER_THREAD = 4;
const PIECE_BITS = 12;

/** Calls `visit` for ranges that, over all threads, cover 0 to `numGroups` once. */
export function divideGroups(
  { memory }: Machine,
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
  for (let index = takeTicket(memory.ints, share); index < count; ) {
    const piece = { index, count };
    visit({ first: fixed + partStart(numGroups - fixed, piece), end: fixed + partEnd(numGroups - fixed, piece) });
    index = takeTicket(memory.ints, share);
  }
}

function takeTicket(words: Int32Array, { generation, numJoined }: Share): number {
  const first = generation << PIECE_BITS;
  const place = TICKETS_ADDRESS / 4 + numJoined;
  for (let word = Atomics.load(words, place); ; ) {
    const isOurs = word >> PIECE_BITS === first >> PIECE_BITS;
    const next = isOurs ? word + 1 : first + 1;
    const seen = Atomics.compareExchange(words, place, word, next);
    if (seen === word) return (next - 1) & ((1 << PIECE_BITS) - 1);
    word = seen;
  }
}
