/** Q8_0: 32 signed bytes and one f16 scale per block of a row. */
import { readF16 } from '../../../../tensor/float16.ts';
import { matmulQ8 } from '../../generators/matmul-q8-0.ts';
import { quantizeToI16 } from '../../generators/pack-activations.ts';
import { packQ8Row } from '../../generators/pack-weights.ts';
import { Q8_ACTIVATIONS, scaleOffset } from '../activation-layout.ts';
import { type PackedFormat, placeOf, unpackedFormat } from '../packed-format.ts';
import { Q8_RECORD } from '../record-layout.ts';
import { tileKernels } from '../tile-kernels.ts';

export const q8_0: PackedFormat = {
  dtype: 'q8_0',
  record: Q8_RECORD,
  activations: Q8_ACTIVATIONS,
  pairs: 'cached',
  unpacked: unpackedFormat(matmulQ8),
  kernels: (features) => [...tileKernels(matmulQ8, features), packQ8Row(), quantizeToI16()],
  packRow: (kernels, source, group, row, rowLength) =>
    kernels.pack_q8_0!(source, group + 2 * row, group + Q8_RECORD.scalesOffset + 2 * row, rowLength / 32) === 0,
  readRow(bytes, group, row, out, outStart, rowLength) {
    for (let k = 0, record = group; k < rowLength; k += 32, record += Q8_RECORD.byteLength) {
      const scale = readF16(bytes, record + Q8_RECORD.scalesOffset + 2 * row);
      for (let j = 0; j < 32; j++) {
        const level = bytes[record + (j >> 1) * Q8_RECORD.bytesPerChunk + 2 * row + (j & 1)]!;
        out[outStart + k + j] = ((level << 24) >> 24) * scale;
      }
    }
  },
  packActivations({ kernels }, row) {
    const { start, recordBytes } = placeOf(q8_0, row);
    const numBlocks = row.length / Q8_RECORD.blockK;
    kernels.quantize_i16!(row.x, start, start + scaleOffset(Q8_ACTIVATIONS), recordBytes, numBlocks);
  },
};
