/** Pieces of work that whoever is ready takes. On a machine with other work to do, threads are never equally fast; so they
 * finish together. Which thread does a piece must not change what comes of it.
 *
 * The next piece is 12 bits of a word in shared memory. Above them is the generation of the gate (kernels/part.ts), which is
 * the same for all threads while they take the same pieces and another for the next. So nobody has to reset the word during a
 * step, not even after a thread died in the middle. But 20 bits of it come again after some thousand steps, and a word must
 * not lie untouched for so long: each step ends with all words at 0. Ops between two meetings have a word each. */
import type { Part } from '../../part.ts';
import { type LinearMemory, MAX_JOINED, TICKETS_ADDRESS } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';

const PIECE_BITS = 12;

/** Pieces that an op may have. Each thread takes one ticket more, to learn that there are none left. */
export const MAX_PIECES = 3072;

/** To be called once, after all threads have taken their last ticket of a step and before any takes one of the next. */
export function putTicketsBack({ ints }: LinearMemory): void {
  for (let place = 0; place < MAX_JOINED; place++) Atomics.store(ints, TICKETS_ADDRESS / 4 + place, 0);
}

/** What a thread must know of its share in an op (native-op.ts). */
interface Share {
  readonly part: Part;
  readonly generation: number;
  readonly numJoined: number;
}

/** Calls `visit` for pieces that, over all threads, are each of 0 to `count` - 1 once. All threads must ask for the same. */
export function takePieces({ memory }: Machine, share: Share, count: number, visit: (piece: number) => void): void {
  if (share.part.count === 1) {
    for (let piece = 0; piece < count; piece++) visit(piece);
    return;
  }
  for (let piece = takeTicket(memory.ints, share); piece < count; piece = takeTicket(memory.ints, share)) visit(piece);
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
