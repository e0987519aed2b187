/** What `quern/formats` promises to whoever has no engine. */
import { expect, it } from 'vitest';
import * as formats from '../../../formats/index.ts';

it('quantizes a tensor of one\u2019s own and back, within half a step', () => {
  const values = Float32Array.of(-1, -0.3, 0, 0.4, 0.9, 2);
  const tensor: formats.AffineTensor = formats.quantizeAffine(values, [2, 3], { bits: 8, granularity: 'row' });
  const back = formats.dequantizeAffine(tensor);
  for (const [i, value] of values.entries()) {
    expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(tensor.scales[Math.floor(i / 3)]! / 2 + 1e-6);
  }
});
