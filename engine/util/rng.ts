/** A small seeded generator of random numbers: the only randomness below the engine's facade (law 4).
 *
 * The same seed gives the same numbers on every machine, as only 32-bit integer operations are used. Not for secrets:
 * whoever sees a few outputs can compute the rest.
 *
 * Source  Blackman & Vigna 2018, "Scrambled Linear Pseudorandom Number Generators": xoshiro128** 1.1
 *         Steele, Lea & Flood 2014, "Fast Splittable Pseudorandom Number Generators": SplitMix64, for seeding */
import { InvalidArgumentError } from '../errors.ts';

/** Everything a generator is: four unsigned 32-bit words, not all zero. */
export type RngState = readonly [number, number, number, number];

/** The odd number nearest to 2^64 divided by the golden ratio: SplitMix64's step. */
const GOLDEN_GAMMA = 0x9e3779b97f4a7c15n;

export class Rng {
  // Four fields rather than an array: the engine keeps them as plain integers.
  #s0: number;
  #s1: number;
  #s2: number;
  #s3: number;

  private constructor(state: RngState) {
    [this.#s0, this.#s1, this.#s2, this.#s3] = state;
  }

  /** The generator of a seed. Different seeds, and different streams of one seed, start at unrelated states.
   * @param seed    any safe integer, negative ones too
   * @param stream  which of the seed's generators, from 0: one for each completion of a request with n > 1
   * @throws InvalidArgumentError */
  static fromSeed(seed: number, stream = 0): Rng {
    if (!Number.isSafeInteger(seed)) {
      throw new InvalidArgumentError('seed', `must be a safe integer, got ${seed}`);
    }
    if (!Number.isSafeInteger(stream) || stream < 0) {
      throw new InvalidArgumentError('stream', `must be a whole number from 0, got ${stream}`);
    }
    // SplitMix64 can jump: its n-th output is a mix of seed + n * gamma. That output seeds stream n's own SplitMix64,
    // whose next two outputs are the state. The mix is a bijection, so of two outputs at most one is zero.
    const streamSeed = splitMix64(BigInt(seed), BigInt(stream) + 1n);
    const low = splitMix64(streamSeed, 1n);
    const high = splitMix64(streamSeed, 2n);
    return new Rng([lowWord(low), lowWord(low >> 32n), lowWord(high), lowWord(high >> 32n)]);
  }

  /** A generator that goes on where `snapshot` was taken.
   * @throws InvalidArgumentError when the state is not one that `snapshot` could have returned. */
  static fromState(state: RngState): Rng {
    const words: readonly unknown[] = state;
    const valid = words.length === 4 && words.every((word) => typeof word === 'number' && word >>> 0 === word);
    if (!valid || words.every((word) => word === 0)) {
      throw new InvalidArgumentError('state', `must be four unsigned 32-bit integers, not all zero, got [${words}]`);
    }
    return new Rng(state);
  }

  snapshot(): RngState {
    return [this.#s0, this.#s1, this.#s2, this.#s3];
  }

  /** A whole number from 0 to 2^32 - 1. */
  nextUint32(): number {
    const scrambled = Math.imul(rotateLeft(Math.imul(this.#s1, 5), 7), 9) >>> 0;
    const shifted = this.#s1 << 9;
    const s2 = this.#s2 ^ this.#s0;
    const s3 = this.#s3 ^ this.#s1;
    this.#s1 = (this.#s1 ^ s2) >>> 0;
    this.#s0 = (this.#s0 ^ s3) >>> 0;
    this.#s2 = (s2 ^ shifted) >>> 0;
    this.#s3 = rotateLeft(s3, 11) >>> 0;
    return scrambled;
  }

  /** What `nextFloat` will return. */
  peekFloat(): number {
    return new Rng(this.snapshot()).nextFloat();
  }

  /** A number from 0 up to but never 1, uniform over the multiples of 2^-53. Takes two words of the sequence. */
  nextFloat(): number {
    const high = this.nextUint32() >>> 5; // 27 bits
    const low = this.nextUint32() >>> 6; // 26 bits
    return (high * 2 ** 26 + low) * 2 ** -53;
  }
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}

function lowWord(value: bigint): number {
  return Number(BigInt.asUintN(32, value));
}

/** The `index`-th output (from 1) of SplitMix64 started at `seed`. */
function splitMix64(seed: bigint, index: bigint): bigint {
  let z = BigInt.asUintN(64, seed + index * GOLDEN_GAMMA);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}
