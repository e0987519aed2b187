/** Finds out what kernels may use of a device: by what it offers, what its self-tests say, and what the caller switched off. */
import type { FeatureState } from '../kernel-backend.ts';
import { type AbilityOptions, type FoundAbilities, type GpuAbilities, PLAIN_ABILITIES } from './gpu-abilities.ts';
import type { GpuDevice } from './gpu-device.ts';
import { checkSubgroups } from './lane-sums.ts';
import { fitsMatrixUnit, type MatrixUnit } from './ops/matmul-matrix-code.ts';
import { testTileProducts } from './tile-products-test.ts';

/** Runs the self-tests of what may be used. */
export async function findAbilities(gpu: GpuDevice, options: AbilityOptions = {}): Promise<FoundAbilities> {
  const subgroups =
    options.subgroups === 'off'
      ? ({ span: 0, state: { used: false, reason: "the option subgroups is 'off'" } } as const)
      : await checkSubgroups(gpu);
  const products = await findTileProducts(gpu, options);
  const int8Matvec = findInt8(gpu, options);
  return {
    abilities: {
      tileProducts: products.tileProducts,
      matvecProducts: int8Matvec.used ? 'int8' : 'f32',
      shuffleSpan: subgroups.span,
      minTokensOfTile: options.minTokensOfTile ?? PLAIN_ABILITIES.minTokensOfTile,
      sectionSize: options.sectionSize ?? PLAIN_ABILITIES.sectionSize,
      maxWorkgroupsToSplit: options.maxWorkgroupsToSplit ?? PLAIN_ABILITIES.maxWorkgroupsToSplit,
    },
    features: { subgroups: subgroups.state, ...products.features, int8Matvec },
  };
}

function findInt8({ gpu }: GpuDevice, { matvecPrecision = 'f32' }: AbilityOptions): FeatureState {
  if (matvecPrecision === 'f32') return { used: false, reason: "the option matvecPrecision is 'f32'" };
  const name = 'packed_4x8_integer_dot_product';
  return gpu.wgslLanguageFeatures.has(name) ? { used: true } : { used: false, reason: `its WGSL has no ${name}` };
}

async function findTileProducts(
  gpu: GpuDevice,
  { matmulPrecision = 'f32' }: AbilityOptions,
): Promise<Pick<GpuAbilities, 'tileProducts'> & Pick<FoundAbilities, 'features'>> {
  const no = (reason: string): FeatureState => ({ used: false, reason });
  if (matmulPrecision === 'f32') {
    return { tileProducts: 'f32', features: { f16Matmul: no("the option matmulPrecision is 'f32'") } };
  }
  if (!gpu.features.has('shader-f16')) {
    return { tileProducts: 'f32', features: { f16Matmul: no('the device computes no f16') } };
  }
  const unit = findMatrixUnit(gpu);
  const problem = typeof unit === 'string' ? unit : await testTileProducts(gpu, unit);
  if (typeof unit !== 'string' && problem === undefined) {
    return { tileProducts: unit, features: { f16Matmul: { used: true }, subgroupMatrices: { used: true } } };
  }
  const subgroupMatrices = no(problem!);
  const vectorProblem = await testTileProducts(gpu, 'f16');
  if (vectorProblem !== undefined)
    return { tileProducts: 'f32', features: { f16Matmul: no(vectorProblem), subgroupMatrices } };
  return { tileProducts: 'f16', features: { f16Matmul: { used: true }, subgroupMatrices } };
}

/** @returns the largest unit that the kernel can be built of, or why there is none */
function findMatrixUnit({ adapter, features, limits }: GpuDevice): MatrixUnit | string {
  if (!features.has('chromium-experimental-subgroup-matrix')) return 'the device has no matrix units';
  const { minSubgroupSize, maxSubgroupSize, matrixConfigs } = adapter;
  if (minSubgroupSize !== maxSubgroupSize) return `subgroups have ${minSubgroupSize} to ${maxSubgroupSize} threads`;
  const units = matrixConfigs
    .filter(({ componentType, resultComponentType }) => componentType === 'f16' && resultComponentType === 'f32')
    .map(({ M, N, K }) => ({ M, N, K, subgroupSize: minSubgroupSize }))
    .filter((unit) => fitsMatrixUnit(unit, limits.maxComputeWorkgroupStorageSize))
    .sort((a, b) => b.M * b.N * b.K - a.M * a.N * a.K);
  return units[0] ?? 'no matrix unit multiplies f16 to f32 in a size that fits';
}
