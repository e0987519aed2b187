/** Q4_K, Q5_K and Q6_K weights times activations rounded to 8 bits per 256, in whole numbers.
 *
 *   weight = d * scale * (level - offset) - dmin * minimum, so over a super-block
 *   out += xScale * ( d * I - dmin * J )
 *     I = sum over sub-blocks of  scale * (sum over k of level * xLevel  -  offset * sum over k of xLevel)
 *     J = sum over sub-blocks of  minimum * sum over k of xLevel
 *
 * Four k of a row are one step (`quad`): a byte product sums two of them in 16 bits, so a row has two 16-bit sums. They
 * take a few quads before they could overflow. Then one `dot_i16x8_s` with the sub-block's scale in both places adds
 * them, multiplies them and widens them to 32 bits:
 *
 *   dots    | row 0: sum, sum | row 1: sum, sum | row 2 | row 3 |  i16
 *   scale   | row 0: s,   s   | row 1: s,   s   | ...              i16
 *   I      += | s * (sum + sum) | ...                              i32
 *
 * Everything up to the last line is exact. I is at most 2^28.6: as an f32 it loses 2^-24 of itself. */
import type { Local, Statement, V128 } from '../emitter/code.ts';
import { f32x4, i8x16, i16x8, i32x4, v128 } from '../emitter/simd.ts';
import { scaleOffset, sumsOffset } from '../packing/activation-layout.ts';
import { type KRecord, Q4_K_RECORD, Q5_K_RECORD, Q6_K_RECORD } from '../packing/record-layout.ts';
import { dotSmallBytes, multiplyAdd } from './arithmetic.ts';
import { HALF_POSTSCALE, loadF16x4 } from './half-floats.ts';
import type { SharedVector, TileContext, TileFormat } from './matmul-tile.ts';

export const matmulQ4K: TileFormat = kFormat(Q4_K_RECORD);
export const matmulQ5K: TileFormat = kFormat(Q5_K_RECORD);
export const matmulQ6K: TileFormat = kFormat(Q6_K_RECORD);

/** By the bits above the nibble: levels up to 15, 31 or 63 times 127, twice per quad, in 16 bits. */
const NUM_QUADS_PER_FLUSH = { 0: 8, 1: 4, 2: 2 } as const;

function kFormat(record: KRecord): TileFormat {
  return {
    name: record.dtype,
    weightRecordBytes: record.byteLength,
    activationBytes: record.activations.bytesPerToken,
    groups: [1],
    unpacking: record.highBits === 0 ? { groups: 2, minTokens: 64 } : { groups: 1, minTokens: 16 },
    postscale: HALF_POSTSCALE,
    emitRecord: (tile) => new KRecordCode(tile, record).emit(),
  };
}

type Vector = Local<'v128'>;

/** The code for one super-block of 8 rows. */
class KRecordCode {
  readonly #tile: TileContext;
  readonly #record: KRecord;
  readonly #halves: readonly number[];
  readonly #tokens: readonly number[];
  /** Per half of a group. */
  readonly #bytes: readonly Vector[];
  readonly #levels: readonly Vector[];
  readonly #high: readonly Vector[];
  readonly #pairScales: readonly Vector[];
  readonly #scales: readonly Vector[];
  /** Per token and half. */
  readonly #dots: readonly (readonly Vector[])[];
  readonly #totals: readonly (readonly Vector[])[];
  readonly #minTotals: readonly (readonly Vector[])[];
  readonly #four: SharedVector;
  readonly #code: Statement[] = [];

  constructor(tile: TileContext, record: KRecord) {
    const { fn, tokens, numHalves } = tile;
    this.#tile = tile;
    this.#record = record;
    this.#halves = Array.from({ length: numHalves }, (_, half) => half);
    this.#tokens = Array.from({ length: tokens }, (_, m) => m);
    this.#four = tile.shared();
    const perHalf = () => fn.locals('v128', numHalves);
    [this.#bytes, this.#levels, this.#high] = [perHalf(), perHalf(), perHalf()];
    [this.#pairScales, this.#scales] = [perHalf(), perHalf()];
    const perToken = () => this.#tokens.map(perHalf);
    [this.#dots, this.#totals, this.#minTotals] = [perToken(), perToken(), perToken()];
  }

  emit(): readonly Statement[] {
    const numPairs = this.#record.blockK / this.#record.subBlockK / 2;
    for (let pair = 0; pair < numPairs; pair++) {
      this.#loadScales(pair);
      for (const sub of [0, 1] as const) {
        this.#takeScale(sub);
        this.#subBlock(pair, sub);
      }
      if (this.#record.levelOffset > 0) this.#subtractOffset(pair);
    }
    if (this.#record.minsOffset !== undefined) this.#sumMins(this.#record.minsOffset, numPairs);
    this.#addToSums();
    return this.#code;
  }

  /** Rows 4h to 4h + 3 of half h, each with the scales of both sub-blocks. */
  #loadScales(pair: number): void {
    const { pairBytes, hasSignedScales } = this.#record;
    const { vectors, weightOf } = this.#tile;
    const load = hasSignedScales ? i16x8.load8x8S : i16x8.load8x8U;
    const set = this.#pairScales.map((both, h) => both.set(load(weightOf(h), pair * pairBytes + (h % 2) * 8)));
    this.#code.push(...vectors.prepare(set));
  }

  /** One sub-block's scale in both places. */
  #takeScale(sub: 0 | 1): void {
    const { fn, vectors } = this.#tile;
    const [lower, upper] = [fn.constant(i32x4.splat(0xffff)), fn.constant(i32x4.splat(-0x10000))];
    const twice = (both: V128): V128 =>
      sub === 0
        ? v128.or(v128.and(both, lower), i32x4.shl(both, 16))
        : v128.or(i32x4.shrU(both, 16), v128.and(both, upper));
    this.#code.push(...vectors.take(this.#scales, (h) => twice(this.#pairScales[h]!)));
  }

  #subBlock(pair: number, sub: 0 | 1): void {
    const { subBlockK, pairBytes, highBits, highOffsets, lowOffsets } = this.#record;
    const { vectors, weightOf } = this.#tile;
    const load = (targets: readonly Vector[], byteOffset: number): void => {
      const set = targets.map((target, h) => target.set(v128.load(weightOf(h), byteOffset + (h % 2) * 16)));
      this.#code.push(...vectors.prepare(set));
    };
    if (highBits > 0) load(this.#high, pair * pairBytes + highOffsets[sub]);
    const firstK = (2 * pair + sub) * subBlockK;
    for (let quad = 0; quad < subBlockK / 4; quad++) {
      if (quad % 2 === 0) load(this.#bytes, pair * pairBytes + lowOffsets[sub] + (quad >> 1) * 32);
      this.#code.push(...vectors.take(this.#levels, (h) => this.#levelsOf(h, quad)));
      const perFlush = NUM_QUADS_PER_FLUSH[highBits];
      this.#multiplyQuad(firstK + 4 * quad, quad % perFlush === 0);
      if ((quad + 1) % perFlush === 0) this.#flush(firstK === 0 && quad + 1 === perFlush);
    }
  }

  #levelsOf(half: number, quad: number): V128 {
    const { fn } = this.#tile;
    const nibble = fn.constant(i8x16.splat(15));
    const low = v128.and(quad % 2 === 0 ? this.#bytes[half]! : i16x8.shrU(this.#bytes[half]!, 4), nibble);
    const { highBits } = this.#record;
    if (highBits === 0) return low;
    const up = 4 - highBits * quad;
    const high = this.#high[half]!;
    const moved = up > 0 ? i16x8.shl(high, up) : up < 0 ? i16x8.shrU(high, -up) : high;
    return v128.or(low, v128.and(moved, fn.constant(i8x16.splat(((1 << highBits) - 1) << 4))));
  }

  #multiplyQuad(k: number, isFirst: boolean): void {
    const { xOf, features } = this.#tile;
    for (const m of this.#tokens) {
      this.#code.push(...this.#four.set(v128.load32Splat(xOf(m), k)));
      for (const h of this.#halves) {
        const dot = dotSmallBytes(features, this.#four.of(h), this.#levels[h]!);
        const dots = this.#dots[m]![h]!;
        this.#code.push(dots.set(isFirst ? dot : i16x8.add(dots, dot)));
      }
    }
  }

  #flush(isFirst: boolean): void {
    for (const m of this.#tokens) {
      for (const h of this.#halves) {
        const scaled = i32x4.dotI16x8S(this.#dots[m]![h]!, this.#scales[h]!);
        const total = this.#totals[m]![h]!;
        this.#code.push(total.set(isFirst ? scaled : i32x4.add(total, scaled)));
      }
    }
  }

  /** The activations hold -16 times the sums; twice the scale makes it 32. */
  #subtractOffset(pair: number): void {
    const { activations } = this.#record;
    const { xOf, vectors } = this.#tile;
    this.#code.push(...vectors.take(this.#pairScales, (h) => i16x8.shl(this.#pairScales[h]!, 1)));
    for (const m of this.#tokens) {
      for (const h of this.#halves) {
        const sums = v128.load32Splat(xOf(m), sumsOffset(activations) + 4 * pair);
        const total = this.#totals[m]![h]!;
        this.#code.push(total.set(i32x4.add(total, i32x4.dotI16x8S(this.#pairScales[h]!, sums))));
      }
    }
  }

  /** After everything else: the sums of minima need registers that the levels no longer do. */
  #sumMins(minsOffset: number, numPairs: number): void {
    const { activations, pairBytes } = this.#record;
    const { xOf, vectors, weightOf } = this.#tile;
    for (let pair = 0; pair < numPairs; pair++) {
      const byteOffset = (h: number) => pair * pairBytes + minsOffset + (h % 2) * 8;
      this.#code.push(...vectors.take(this.#pairScales, (h) => i16x8.load8x8U(weightOf(h), byteOffset(h))));
      for (const m of this.#tokens) {
        for (const h of this.#halves) {
          const sums = v128.load32Splat(xOf(m), sumsOffset(activations) + 4 * pair);
          const scaled = i32x4.dotI16x8S(this.#pairScales[h]!, sums);
          const total = this.#minTotals[m]![h]!;
          this.#code.push(total.set(pair === 0 ? scaled : i32x4.add(total, scaled)));
        }
      }
    }
  }

  #addToSums(): void {
    const { factorsOffset, minsOffset, activations } = this.#record;
    const { fn, xOf, vectors, sums, features, weightOf } = this.#tile;
    const add = (totals: readonly (readonly Vector[])[], offset: number): void => {
      this.#code.push(...vectors.take(this.#scales, (h) => loadF16x4(fn, weightOf(h), offset + (h % 2) * 8)));
      for (const m of this.#tokens) {
        for (const h of this.#halves) {
          const xScale = v128.load32Splat(xOf(m), scaleOffset(activations));
          const factor = f32x4.mul(this.#scales[h]!, xScale);
          const total = f32x4.convertI32x4S(totals[m]![h]!);
          this.#code.push(sums[m]![h]!.set(multiplyAdd(features, total, factor, sums[m]![h]!)));
        }
      }
    };
    add(this.#totals, factorsOffset);
    if (minsOffset !== undefined) add(this.#minTotals, factorsOffset + 16);
  }
}
