/** Where matmuls find their activations packed: in the thread's own memory where they are few, in the area of all threads
 * where they are many. Weights whose formats take the same activations share them: those of one op, and those of ops that
 * run together, as nothing that one of them reads may change before the threads meet. */
import { type Part, WHOLE } from '../../part.ts';
import {
  ACTIVATION_AREA_BYTES,
  ACTIVATION_AREA_START,
  THREAD_ACTIVATION_BYTES,
  threadActivations,
} from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { type MatmulJob, packChunk } from './matmul-job.ts';

/** Where jobs over the same tokens find theirs. */
export interface Placement {
  /** Whether each thread packs all of them for itself. */
  readonly isOwn: boolean;
  /** Tokens that there is room for. */
  readonly chunkTokens: number;
  /** For each job, bytes from the start of that memory. */
  readonly offsets: readonly number[];
}

/** @param jobs  of one layer, or of the two of a gated MLP */
export function placeActivations(jobs: readonly MatmulJob[]): Placement {
  const [first, second = first] = jobs as [MatmulJob, MatmulJob?];
  const secondBytes = takesSame(first, second) ? 0 : second.tokenBytes;
  const tokenBytes = first.tokenBytes + secondBytes;
  const isOwn = first.numTokens * tokenBytes <= THREAD_ACTIVATION_BYTES;
  const numTiles = Math.floor(ACTIVATION_AREA_BYTES / (tokenBytes * TILE_TOKENS));
  const chunkTokens = isOwn ? first.numTokens : numTiles * TILE_TOKENS;
  return { isOwn, chunkTokens, offsets: [0, secondBytes === 0 ? 0 : chunkTokens * first.tokenBytes] };
}

/** Start of the memory that packed activations go to. */
export function activationsStart({ isOwn }: Placement, part: Part): number {
  return isOwn ? threadActivations(part.index) : ACTIVATION_AREA_START;
}

const takesSame = (a: MatmulJob, b: MatmulJob): boolean => a.format.activations === b.format.activations;

/** Those that pack together: this one, and where it meets the others. */
interface Threads {
  readonly part: Part;
  meet(): void;
}

/** A thread's note of what it may find packed. */
export class PackedActivations {
  #machine: Machine | undefined;
  #chunks: readonly MatmulJob[] = [];

  /** Packs what the chunks need and is not there yet. All threads come to the same answer.
   * @param isFree  whether no other thread may still read what the area of all threads holds */
  provide(
    machine: Machine,
    chunks: readonly MatmulJob[],
    threads: Threads,
    { isOwn, isFree }: { readonly isOwn: boolean; readonly isFree: boolean },
  ): void {
    if (machine === this.#machine && chunks.every((chunk) => this.#holds(chunk))) return;
    this.#machine = machine;
    this.#chunks = [];
    if (!isOwn && !isFree) threads.meet();
    for (const chunk of chunks) {
      if (this.#holds(chunk)) continue;
      packChunk(machine, chunk, isOwn ? WHOLE : threads.part);
      this.#chunks = [...this.#chunks, chunk];
    }
    if (!isOwn) threads.meet();
  }

  /** To be called when threads have met. */
  forget(): void {
    this.#machine = undefined;
    this.#chunks = [];
  }

  #holds({ packed, x, firstToken, numTokens, rowLength, format }: MatmulJob): boolean {
    return this.#chunks.some(
      (held) =>
        held.packed === packed &&
        held.x === x &&
        held.firstToken === firstToken &&
        held.numTokens === numTokens &&
        held.rowLength === rowLength &&
        held.format.activations === format.activations,
    );
  }
}
