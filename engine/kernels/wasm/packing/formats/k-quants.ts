/** Q4_K, Q5_K and Q6_K: super-blocks of 256 in sub-blocks with whole-number scales. */
import { readF16 } from '../../../../tensor/float16.ts';
import type { FunctionBuilder } from '../../emitter/function-builder.ts';
import { matmulQ4K, matmulQ5K, matmulQ6K } from '../../generators/matmul-k-quants.ts';
import { GROUP_ROWS, type TileFormat } from '../../generators/matmul-tile.ts';
import { packQ4KRow, packQ5KRow, packQ6KRow } from '../../generators/pack-k-quants.ts';
import { quantizeToK } from '../../generators/quantize-k.ts';
import { scaleOffset, sumsOffset } from '../activation-layout.ts';
import { type PackedFormat, placeOf, unpackedFormat } from '../packed-format.ts';
import { type KRecord, Q4_K_RECORD, Q5_K_RECORD, Q6_K_RECORD } from '../record-layout.ts';
import { tileKernels } from '../tile-kernels.ts';

export const q4_k = kFormat(Q4_K_RECORD, matmulQ4K, packQ4KRow);
export const q5_k = kFormat(Q5_K_RECORD, matmulQ5K, packQ5KRow);
export const q6_k = kFormat(Q6_K_RECORD, matmulQ6K, packQ6KRow);

function kFormat(record: KRecord, tile: TileFormat, packKernel: () => FunctionBuilder): PackedFormat {
  const { dtype, activations } = record;
  const format: PackedFormat = {
    dtype,
    record,
    activations,
    pairs: 'never',
    unpacked: unpackedFormat(tile),
    kernels: (features) => [...tileKernels(tile, features), packKernel(), quantizeToK(record.subBlockK)],
    packRow: (kernels, source, group, row, rowLength) =>
      kernels[`pack_${dtype}`]!(source, group, row, rowLength / record.blockK) === 0,
    readRow(bytes, group, row, out, outStart, rowLength) {
      for (let k = 0, start = group; k < rowLength; k += record.blockK, start += record.byteLength) {
        readSuperBlock(record, bytes, start, row, out, outStart + k);
      }
    },
    packActivations({ kernels }, row) {
      const { start, recordBytes } = placeOf(format, row);
      const [scale, sums] = [start + scaleOffset(activations), start + sumsOffset(activations)];
      const numBlocks = row.length / record.blockK;
      kernels[`quantize_k${record.subBlockK}`]!(row.x, start, scale, recordBytes, numBlocks, sums);
    },
  };
  return format;
}

function readSuperBlock(
  record: KRecord,
  bytes: Uint8Array,
  start: number,
  row: number,
  out: Float32Array,
  outStart: number,
): void {
  const { subBlockK, pairBytes, minsOffset } = record;
  const factor = readF16(bytes, start + record.factorsOffset + 2 * row);
  const minFactor =
    minsOffset === undefined ? 0 : readF16(bytes, start + record.factorsOffset + 2 * (GROUP_ROWS + row));
  for (let sub = 0; sub < record.blockK / subBlockK; sub++) {
    const pair = start + (sub >> 1) * pairBytes;
    const byteOfPair = 2 * row + (sub & 1);
    const stored = bytes[pair + byteOfPair]!;
    const scale = factor * (record.hasSignedScales ? (stored << 24) >> 24 : stored);
    const min = minsOffset === undefined ? 0 : minFactor * bytes[pair + minsOffset + byteOfPair]!;
    for (let k = 0; k < subBlockK; k++) {
      const level = levelAt(record, bytes, pair, sub & 1, row, k);
      out[outStart + sub * subBlockK + k] = scale * (level - record.levelOffset) - min;
    }
  }
}

/** Element `k` of a row's sub-block `sub` (0 or 1) of a pair. */
function levelAt(record: KRecord, bytes: Uint8Array, pair: number, sub: number, row: number, k: number): number {
  const quad = k >> 2;
  const byteOfRow = 4 * row + (k & 3);
  const chunk = pair + record.lowOffsets[sub]! + (quad >> 1) * 32;
  const low = (bytes[chunk + byteOfRow]! >> (4 * (quad & 1))) & 15;
  if (record.highBits === 0) return low;
  const high = bytes[pair + record.highOffsets[sub]! + byteOfRow]! >> (record.highBits * quad);
  return low | ((high & ((1 << record.highBits) - 1)) << 4);
}
