/** Q4_0: 32 nibbles and one f16 scale per block of a row. */
import { readF16 } from '../../../../tensor/float16.ts';
import { activationScaleOffset, activationSumOffset, Q4_ACTIVATIONS } from '../activation-layout.ts';
import type { PackedFormat } from '../packed-format.ts';
import { Q4_RECORD } from '../record-layout.ts';

export const q4_0: PackedFormat = {
  dtype: 'q4_0',
  record: Q4_RECORD,
  activations: Q4_ACTIVATIONS,
  pairs: 'cached',
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
  packActivations({ kernels }, { x, record, count, tokens, token }) {
    const levels = record + token * Q4_ACTIVATIONS.levelBytes;
    const scale = record + activationScaleOffset(Q4_ACTIVATIONS, tokens, token);
    const sum = record + activationSumOffset(Q4_ACTIVATIONS, tokens, token);
    kernels.quantize_i8!(x, levels, scale, tokens * Q4_ACTIVATIONS.bytesPerToken, count, sum);
  },
};
