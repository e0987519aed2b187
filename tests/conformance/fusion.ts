/** What `ops.ts` says of ops that do several things at once: their bits are those of the ops that do one each. Properties;
 * the caller asserts them. */
import fc from 'fast-check';
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { DType } from '../../engine/tensor/dtype.ts';
import { numTokens, randomValues, randomWeightBytes, seed, size, weightRow } from '../helpers/arbitraries-kernels.ts';
import { findBitDifference } from './compare.ts';
import { gatedInputs, gatedLayers } from './gated-layers.ts';
import { withWorkspace } from './workspace.ts';

function expectSameBits(actual: Float32Array, expected: Float32Array): void {
  const difference = findBitDifference(actual, expected);
  if (difference !== undefined) throw new Error(difference);
}

/** matmul with a residual, elsewhere and in place, is matmul and then add. */
export function residualFusion(backend: KernelBackend, isWanted: (dtype: DType) => boolean) {
  const layer = weightRow().filter(({ dtype }) => isWanted(dtype));
  const parameters = fc.record({ T: numTokens(), N: size(), layer, hasBias: fc.boolean(), seed: seed() });
  return fc.asyncProperty(parameters, async ({ T, N, layer: { dtype, rowLength }, hasBias, seed }) => {
    await withWorkspace(backend, async (work) => {
      const weight = await work.weight(dtype, [N, rowLength], randomWeightBytes(dtype, seed, N * rowLength));
      const x = work.floats([T, rowLength], randomValues(seed + 1, T * rowLength));
      const bias = hasBias ? work.floats([N], randomValues(seed + 2, N)) : undefined;
      const residual = work.floats([T, N], randomValues(seed + 3, T * N));
      const [apart, elsewhere] = [work.output([T, N]), work.output([T, N])];
      work.run('matmul', { x, weight, bias, out: apart });
      work.run('add', { a: residual, b: apart, out: apart });
      work.run('matmul', { x, weight, bias, residual, out: elsewhere });
      work.run('matmul', { x, weight, bias, residual, out: residual });
      const expected = await work.read(apart);
      expectSameBits(await work.read(elsewhere), expected);
      expectSameBits(await work.read(residual), expected);
    });
  });
}

/** gatedMatmul is two matmuls and then siluMul or geluMul. */
export function gatedFusion(backend: KernelBackend, isWanted: (dtype: DType) => boolean) {
  const layers = gatedLayers('mixed').filter(({ dtype, upDtype }) => isWanted(dtype) && isWanted(upDtype));
  return fc.asyncProperty(layers, async (layers) => {
    await withWorkspace(backend, async (work) => {
      const inputs = await gatedInputs(work, layers);
      const { x, gateWeight, gateBias, upWeight, upBias } = inputs;
      const shape = [layers.T, layers.N];
      const [gate, up, out] = [work.output(shape), work.output(shape), work.output(shape)];
      work.run('matmul', { x, weight: gateWeight, bias: gateBias, out: gate });
      work.run('matmul', { x, weight: upWeight, bias: upBias, out: up });
      work.run(layers.activation === 'silu' ? 'siluMul' : 'geluMul', { gate, up, out: gate });
      work.run('gatedMatmul', { ...inputs, activation: layers.activation, out });
      expectSameBits(await work.read(out), await work.read(gate));
    });
  });
}
