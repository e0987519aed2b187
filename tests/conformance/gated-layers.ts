/** Random gated MLPs: two weights of one shape. */
import fc from 'fast-check';
import type { Activation, GatedMatmulArgs } from '../../engine/kernels/ops.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import {
  numTokens,
  randomValues,
  randomWeightBytes,
  seed,
  size,
  WEIGHT_FORMATS,
  weightRow,
} from '../helpers/arbitraries-kernels.ts';
import type { Workspace } from './workspace.ts';

export interface GatedLayers {
  readonly T: number;
  readonly N: number;
  readonly dtype: FloatDType;
  readonly upDtype: FloatDType;
  readonly rowLength: number;
  readonly hasBias: boolean;
  readonly activation: Activation;
  readonly magnitude: number;
  readonly seed: number;
}

/** @param formats  'mixed': the two weights need not have the same, as in some files that quantizers make */
export function gatedLayers(formats: 'equal' | 'mixed'): fc.Arbitrary<GatedLayers> {
  const sizes = {
    T: numTokens(),
    N: size(),
    hasBias: fc.boolean(),
    activation: fc.constantFrom<Activation>('silu', 'gelu'),
  };
  return fc
    .tuple(fc.record({ ...sizes, seed: seed() }), weightRow(), fc.constantFrom(...WEIGHT_FORMATS))
    .map(([p, w, other]) => ({
      ...p,
      ...w,
      upDtype: formats === 'mixed' && w.rowLength % other.blockSize === 0 ? other.dtype : w.dtype,
      // Half of the gates pass; both factors are as large as a matmul's outputs.
      magnitude: w.rowLength / 9 / 2,
    }));
}

/** The arguments but for the activation and `out`. */
export async function gatedInputs(
  work: Workspace,
  { T, N, dtype, upDtype, rowLength, hasBias, seed }: GatedLayers,
): Promise<Omit<GatedMatmulArgs, 'activation' | 'out'>> {
  const weight = (format: FloatDType, own: number) =>
    work.weight(format, [N, rowLength], randomWeightBytes(format, own, N * rowLength));
  const bias = (own: number) => (hasBias ? work.floats([N], randomValues(own, N)) : undefined);
  return {
    x: work.floats([T, rowLength], randomValues(seed + 1, T * rowLength)),
    gateWeight: await weight(dtype, seed),
    gateBias: bias(seed + 2),
    upWeight: await weight(upDtype, seed + 3),
    upBias: bias(seed + 4),
  };
}
