/** The vectors that a format's code makes of a record of weights alone: levels, scales. A prompt's tiles would make them
 * again and again, so a panel of weights is unpacked first (ops/matmul-tiles.ts): every vector is computed once and kept
 * in the thread's memory, one after the other in the order of use, and tiles load them from there.
 *
 *   packed record     --- compute --->  vectors  ---> products              few tokens: PACKED
 *                                          |
 *                                          '---> unpacked record            UnpackingVectors, once for a panel
 *                                                      |
 *                                                      '---> products       UnpackedVectors, for each tile
 *
 * The format's code is the same for all three; so is every bit of the vectors. */
import type { I32, Local, Statement, V128 } from '../emitter/code.ts';
import { v128 } from '../emitter/simd.ts';
import { storeVectors } from './store-vectors.ts';

/** Bytes of a vector for the 8 rows of a group: two halves. */
const VECTOR_BYTES = 32;

export interface WeightVectors {
  /** Statements that nothing but `take` needs. */
  prepare(statements: readonly Statement[]): readonly Statement[];
  /** Sets the locals of all halves. */
  take(targets: readonly Local<'v128'>[], compute: (half: number) => V128): readonly Statement[];
}

/** Computes them of the packed record. */
export const PACKED: WeightVectors = {
  prepare: (statements) => statements,
  take: (targets, compute) => targets.map((target, half) => target.set(compute(half))),
};

/** Loads them from an unpacked record. */
export class UnpackedVectors implements WeightVectors {
  readonly #recordOf: (half: number) => I32;
  #byteLength = 0;

  constructor(recordOf: (half: number) => I32) {
    this.#recordOf = recordOf;
  }

  prepare(): readonly Statement[] {
    return [];
  }

  take(targets: readonly Local<'v128'>[]): readonly Statement[] {
    const start = this.#byteLength;
    this.#byteLength += VECTOR_BYTES;
    return targets.map((target, h) => target.set(v128.load(this.#recordOf(h), start + (h % 2) * 16)));
  }
}

/** Computes them of a packed record of one group, and stores them. */
export class UnpackingVectors implements WeightVectors {
  readonly #out: I32;
  #byteLength = 0;

  constructor(out: I32) {
    this.#out = out;
  }

  /** Of the unpacked record, once all its vectors are taken. */
  get byteLength(): number {
    return this.#byteLength;
  }

  prepare(statements: readonly Statement[]): readonly Statement[] {
    return statements;
  }

  take(targets: readonly Local<'v128'>[], compute: (half: number) => V128): readonly Statement[] {
    const start = this.#byteLength;
    this.#byteLength += VECTOR_BYTES;
    return [...PACKED.take(targets, compute), ...storeVectors(this.#out, targets, start)];
  }
}
