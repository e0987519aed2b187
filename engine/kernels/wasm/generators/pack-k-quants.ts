/** Moves one row of a Q4_K, Q5_K or Q6_K weight, as a file holds it (tensor/quant), to its place in a group of packed
 * records (packing/record-layout.ts): levels and scales change places, none changes its value.
 *
 *   (source, group, row, numBlocks) -> i32
 *
 * returns 1 when a factor is infinite or NaN, otherwise 0. Levels move as words: four neighbouring elements of a row are
 * four bytes of a word in the file, in its low or in its high nibbles, and four bytes of a word in the record. */
import type { I32, Local, Statement } from '../emitter/code.ts';
import { advance, countDown } from '../emitter/control.ts';
import { FunctionBuilder } from '../emitter/function-builder.ts';
import { i32 } from '../emitter/scalar.ts';
import { type KRecord, Q4_K_RECORD, Q5_K_RECORD, Q6_K_RECORD } from '../packing/record-layout.ts';
import { isNotFinite } from './pack-weights.ts';

/** Where the source has what: each gives the word of four elements, in the low bits of its bytes. */
interface Source {
  readonly blockBytes: number;
  /** The nibbles of quad `quad` of sub-block `sub`. */
  low(source: I32, sub: number, quad: number): I32;
  /** The bits above, where there are any. */
  high?(source: I32, sub: number, quad: number): I32;
  /** Byte offsets of the factors: d, and dmin where there is one. */
  readonly factors: readonly number[];
  /** Stores the scales, and minima, of all sub-blocks at `put(sub, word whose lowest byte it is, isMin)`. */
  scales(source: I32, put: (sub: number, value: I32, isMin: boolean) => Statement): readonly Statement[];
}

export const packQ4KRow = (): FunctionBuilder => packKRow(Q4_K_RECORD, nibblePairs(144, 16, undefined));
export const packQ5KRow = (): FunctionBuilder => packKRow(Q5_K_RECORD, nibblePairs(176, 48, 16));
export const packQ6KRow = (): FunctionBuilder => packKRow(Q6_K_RECORD, SIX_BITS);

const bits = (word: I32, shift: number, mask: number): I32 =>
  i32.and(shift === 0 ? word : i32.shrU(word, i32.const(shift)), i32.const(mask));
const up = (word: I32, shift: number): I32 => (shift === 0 ? word : i32.shl(word, i32.const(shift)));
const NIBBLES = 0x0f0f0f0f;

/** Q4_K and Q5_K: tensor/quant/q4-k.ts, q5-k.ts, k-header.ts. */
function nibblePairs(blockBytes: number, lowStart: number, highStart: number | undefined): Source {
  return {
    blockBytes,
    factors: [0, 2],
    low: (source, sub, quad) => bits(i32.load(source, lowStart + (sub >> 1) * 32 + 4 * quad), 4 * (sub & 1), NIBBLES),
    ...(highStart === undefined
      ? {}
      : {
          high: (source: I32, sub: number, quad: number) =>
            bits(i32.load(source, highStart + 4 * quad), sub, 0x01010101),
        }),
    scales: (source, put) => {
      const [scales, mins, lastNibbles] = [i32.load(source, 4), i32.load(source, 8), i32.load(source, 12)];
      const last = (shift: number, upper: I32): I32 =>
        i32.or(bits(lastNibbles, shift, NIBBLES), up(bits(upper, 6, 0x03030303), 4));
      const words = [
        [bits(scales, 0, 0x3f3f3f3f), last(0, scales)],
        [bits(mins, 0, 0x3f3f3f3f), last(4, mins)],
      ] as const;
      return Array.from({ length: 8 }, (_, sub) =>
        [false, true].map((isMin) =>
          put(sub, i32.shrU(words[isMin ? 1 : 0][sub >> 2]!, i32.const(8 * (sub & 3))), isMin),
        ),
      ).flat();
    },
  };
}

/** tensor/quant/q6-k.ts. Two halves of 128 elements, each of four quarters of 8 quads. */
const SIX_BITS: Source = {
  blockBytes: 210,
  factors: [208],
  low(source, sub, quad) {
    const { half, quarter, word } = placeOf(sub, quad);
    return bits(i32.load(source, half * 64 + (quarter & 1) * 32 + word), 4 * (quarter >> 1), NIBBLES);
  },
  high(source, sub, quad) {
    const { half, quarter, word } = placeOf(sub, quad);
    return bits(i32.load(source, 128 + half * 32 + word), 2 * quarter, 0x03030303);
  },
  scales: (source, put) => Array.from({ length: 16 }, (_, sub) => put(sub, i32.load8U(source, 192 + sub), false)),
};

function placeOf(sub: number, quad: number): { half: number; quarter: number; word: number } {
  return { half: sub >> 3, quarter: (sub >> 1) & 3, word: (sub & 1) * 16 + 4 * quad };
}

function packKRow(record: KRecord, from: Source): FunctionBuilder {
  const fn = new FunctionBuilder(`pack_${record.dtype}`);
  const [source, group, row, numBlocks] = [fn.param('i32'), fn.param('i32'), fn.param('i32'), fn.param('i32')];
  /** Where the row's part of a chunk lies (4 bytes of 32), and its pair of scales (2 of 16). */
  const [words, halves] = [fn.local('i32'), fn.local('i32')];
  const [factor, notFinite] = [fn.local('i32'), fn.local('i32')];
  const moveFactors = from.factors.flatMap((byteOffset, i) => [
    factor.set(i32.load16U(source, byteOffset)),
    notFinite.set(i32.or(notFinite, isNotFinite(factor))),
    i32.store16(halves, factor, record.factorsOffset + 16 * i),
  ]);
  fn.emit(
    words.set(i32.add(group, i32.mul(row, i32.const(4)))),
    halves.set(i32.add(group, i32.mul(row, i32.const(2)))),
    countDown(
      numBlocks,
      ...moveLevels(record, from, source, words),
      ...from.scales(source, (sub, value, isMin) => {
        const start = isMin ? record.minsOffset! : 0;
        return i32.store8(halves, value, (sub >> 1) * record.pairBytes + start + (sub & 1));
      }),
      ...moveFactors,
      advance(source, from.blockBytes),
      advance(words, record.byteLength),
      advance(halves, record.byteLength),
    ),
  );
  fn.returns(notFinite);
  return fn;
}

function moveLevels(record: KRecord, from: Source, source: I32, words: Local<'i32'>): Statement[] {
  const { blockK, subBlockK, pairBytes, lowOffsets, highOffsets, highBits } = record;
  const numQuads = subBlockK / 4;
  const code: Statement[] = [];
  for (let sub = 0; sub < blockK / subBlockK; sub++) {
    const pair = (sub >> 1) * pairBytes;
    for (let quad = 0; quad < numQuads; quad += 2) {
      const both = i32.or(from.low(source, sub, quad), up(from.low(source, sub, quad + 1), 4));
      code.push(i32.store(words, both, pair + lowOffsets[sub & 1]! + (quad >> 1) * 32));
    }
    if (from.high === undefined) continue;
    const fields = Array.from({ length: numQuads }, (_, quad) => up(from.high!(source, sub, quad), highBits * quad));
    code.push(
      i32.store(
        words,
        fields.reduce((a, b) => i32.or(a, b)),
        pair + highOffsets[sub & 1]!,
      ),
    );
  }
  return code;
}
