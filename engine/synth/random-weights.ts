/** Random weights of any size and format, from a seed, in constant memory.
 *
 * A large model's weights are far too many to quantize one by one here (a k-quant's search takes about a microsecond per
 * weight, a billion weights a quarter of an hour). So a pool of normal numbers is made and quantized once, and a large
 * tensor is drawn from it piece by piece, a piece being one quant block or more:
 *
 *   pool    | piece 0 | piece 1 | piece 2 | ...           2^18 numbers, quantized
 *   row 0   | piece 5321 | piece 17 | piece 900 | ...      drawn at random
 *
 * Rows of few pieces could come out twice, and small tensors gain nothing; those get numbers of their own.
 * Only 32-bit integer arithmetic decides what is drawn: a seed gives the same bytes on every machine. */
import type { FloatDType } from '../tensor/dtype.ts';
import type { QuantFormat } from '../tensor/quant/quant-format.ts';
import { quantFormat } from '../tensor/quant/quant-registry.ts';
import { numElements, rowSize, type Shape } from '../tensor/shape.ts';
import { Rng } from '../util/rng.ts';

const POOL_SIZE = 2 ** 18;
/** Elements of a piece where quant blocks are smaller. */
const MIN_PIECE = 32;
/** With four pieces of 1024 or more there are 2^40 different rows. */
const MIN_PIECES_PER_ROW = 4;
const CHUNK_BYTES = 2 ** 18;
/** Values that get numbers of their own are made so many at a time: a multiple of every block size. */
const CHUNK_ELEMENTS = 2 ** 16;

/** Streams of the seed: the pool, then one for each tensor. */
const POOL_STREAM = 0;

export interface Distribution {
  readonly mean: number;
  readonly standardDeviation: number;
}

export class RandomWeights {
  readonly #seed: number;
  #nextStream = POOL_STREAM + 1;
  #normal: Float32Array | undefined;
  /** Quantized pools by format and distribution. */
  readonly #pools = new Map<string, Uint8Array>();

  constructor(seed: number) {
    this.#seed = seed;
  }

  /** The bytes of one tensor, in chunks that are valid until the next. Tensors must be asked for in the same order for the
   * same result. */
  chunks(dtype: FloatDType, shape: Shape, distribution: Distribution): Generator<Uint8Array> {
    const rng = Rng.fromSeed(this.#seed, this.#nextStream++);
    const format = quantFormat(dtype);
    const pieceSize = Math.max(format.blockSize, MIN_PIECE);
    const rowLength = rowSize(shape);
    const isDrawn =
      numElements(shape) > POOL_SIZE && rowLength % pieceSize === 0 && rowLength / pieceSize >= MIN_PIECES_PER_ROW;
    if (!isDrawn) return freshChunks(rng, format, numElements(shape), distribution);
    const pieceBytes = (pieceSize / format.blockSize) * format.bytesPerBlock;
    return drawnChunks(rng, this.#pool(format, distribution), numElements(shape) / pieceSize, pieceBytes);
  }

  #pool(format: QuantFormat, distribution: Distribution): Uint8Array {
    const key = `${format.dtype} ${distribution.mean} ${distribution.standardDeviation}`;
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      this.#normal ??= normalNumbers(Rng.fromSeed(this.#seed, POOL_STREAM), POOL_SIZE);
      pool = quantizeScaled(format, this.#normal, distribution);
      this.#pools.set(key, pool);
    }
    return pool;
  }
}

function* freshChunks(rng: Rng, format: QuantFormat, count: number, distribution: Distribution): Generator<Uint8Array> {
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    yield quantizeScaled(format, normalNumbers(rng, Math.min(CHUNK_ELEMENTS, count - start)), distribution);
  }
}

function* drawnChunks(rng: Rng, pool: Uint8Array, numPieces: number, pieceBytes: number): Generator<Uint8Array> {
  // A power of two, so a mask draws without bias.
  const mask = pool.length / pieceBytes - 1;
  const piecesPerChunk = Math.max(1, Math.floor(CHUNK_BYTES / pieceBytes));
  const chunk = new Uint8Array(piecesPerChunk * pieceBytes);
  for (let piece = 0; piece < numPieces; ) {
    const end = Math.min(numPieces, piece + piecesPerChunk);
    let to = 0;
    for (; piece < end; piece++) {
      const from = (rng.nextUint32() & mask) * pieceBytes;
      for (let i = 0; i < pieceBytes; i++) chunk[to++] = pool[from + i]!;
    }
    yield chunk.subarray(0, to);
  }
}

function quantizeScaled(format: QuantFormat, normal: Float32Array, distribution: Distribution): Uint8Array {
  const { mean, standardDeviation } = distribution;
  const values = normal.map((value) => mean + standardDeviation * value);
  const numBlocks = values.length / format.blockSize;
  const bytes = new Uint8Array(numBlocks * format.bytesPerBlock);
  format.quantize!(values, 0, bytes, 0, numBlocks);
  return bytes;
}

/** Sums of twelve uniform numbers, less six: mean 0, variance 1, and within 6 of 0. Close enough to normal for weights (the
 * central limit theorem at work), and unlike exact methods it needs no logarithm, whose last bit differs between engines. */
function normalNumbers(rng: Rng, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 6; // twelve times half a step of 2^-16, in steps
    for (let word = 0; word < 6; word++) {
      const bits = rng.nextUint32();
      sum += (bits & 0xffff) + (bits >>> 16);
    }
    values[i] = sum / 65536 - 6;
  }
  return values;
}
