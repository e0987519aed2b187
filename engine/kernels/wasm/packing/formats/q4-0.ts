/** Q4_0: 32 nibbles and one f16 scale per block of a row. */
import { readF16 } from '../../../../tensor/float16.ts';
import { matmulQ4 } from '../../generators/matmul-q4-0.ts';
import { packQ4Row } from '../../generators/pack-weights.ts';
import { quantizeToI8 } from '../../generators/quantize-q4.ts';
import { Q4_ACTIVATIONS } from '../activation-layout.ts';
import { type PackedFormat, placeOf, unpackedFormat } from '../packed-format.ts';
import { Q4_RECORD } from '../record-layout.ts';
import { tileKernels } from '../tile-kernels.ts';

export const q4_0: PackedFormat = {
  dtype: 'q4_0',
  record: Q4_RECORD,
  activations: Q4_ACTIVATIONS,
  pairs: 'cached',
  unpacked: unpackedFormat(matmulQ4),
  kernels: (features) => [...tileKernels(matmulQ4, features), packQ4Row(), quantizeToI8()],
  packRow: (kernels, source, group, row, rowLength) =>
    kernels.pack_q4_0!(source, group + 4 * row, group + Q4_RECORD.scalesOffset + 2 * row, rowLength / 32) === 0,
  readRow(bytes, group, row, out, outStart, rowLength) {
    for (let k = 0, record = group; k < rowLength; k += 32, record += Q4_RECORD.byteLength) {
      const scale = readF16(bytes, record + Q4_RECORD.scalesOffset + 2 * row);
      for (let j = 0; j < 16; j++) {
        const pair = bytes[record + (j >> 2) * Q4_RECORD.bytesPerChunk + 4 * row + (j & 3)]!;
        out[outStart + k + j] = ((pair & 15) - 8) * scale;
        out[outStart + k + 16 + j] = ((pair >> 4) - 8) * scale;
      }
    }
  },
  packActivations({ kernels }, row) {
    const { start, recordBytes } = placeOf(q4_0, row);
    kernels.quantize_i8!(row.x, start, recordBytes, row.length / Q4_RECORD.blockK);
  },
};
