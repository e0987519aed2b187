/** What kernels may use of a device, by what it offers, what its self-tests said, and what the caller switched off. */
import type { FeatureState } from '../kernel-backend.ts';
import type { GpuDevice } from './gpu-device.ts';
import { checkSubgroups, type ShuffleSpan } from './lane-sums.ts';
import { fitsMatrixUnit, type MatrixUnit } from './ops/matmul-matrix-code.ts';
import { testTileProducts } from './tile-products-test.ts';

/** Tokens from which a matmul is computed in tiles of 64 by 64; for fewer, most of a tile would be thrown away. */
const MIN_TOKENS_OF_TILE = 24;

/** Long enough that merging costs little beside it, short enough that a single sequence of some thousand tokens keeps a GPU
 * busy. */
const SECTION_SIZE = 512;

/** About as many workgroups of 64 threads as a large GPU holds at a time: more need no help. */
const MAX_WORKGROUPS_TO_SPLIT = 2048;

export interface GpuAbilities {
  /** Neighbouring lanes that may exchange values without workgroup memory. */
  readonly shuffleSpan: ShuffleSpan;
  readonly minTokensOfTile: number;
  /** Positions of a section of attention; a multiple of 64. */
  readonly sectionSize: number;
  /** Rows times heads up to which the sections of attention get workgroups of their own. */
  readonly maxWorkgroupsToSplit: number;
  /** What multiplies the tiles of a matmul: f32, f16 vectors, or a matrix unit. */
  readonly tileProducts: 'f32' | 'f16' | MatrixUnit;
}

export interface AbilityOptions {
  /** 'f16' lets matmuls of many tokens multiply in half precision, where the device can: faster, and then a token's bits
   * depend on how many others are in the batch. Default 'f32'. */
  readonly matmulPrecision?: 'f32' | 'f16';
  /** Whether threads of a subgroup may exchange values, where a self-test finds that they can. Default 'auto'. */
  readonly subgroups?: 'auto' | 'off';
  /** Tokens from which a matmul is computed in tiles. Default 24. The results are the same. */
  readonly minTokensOfTile?: number;
  /** Keys whose softmax is computed by itself before it is merged with those before. A multiple of 64. Default 512. */
  readonly sectionSize?: number;
  /** Rows times heads below which sections are computed side by side. Default 2048. The results are the same. */
  readonly maxWorkgroupsToSplit?: number;
}

export interface FoundAbilities {
  readonly abilities: GpuAbilities;
  /** Each in use, or why not. */
  readonly features: Readonly<Record<string, FeatureState>>;
}

/** What every device can. */
export const PLAIN_ABILITIES: GpuAbilities = {
  shuffleSpan: 0,
  minTokensOfTile: MIN_TOKENS_OF_TILE,
  sectionSize: SECTION_SIZE,
  maxWorkgroupsToSplit: MAX_WORKGROUPS_TO_SPLIT,
  tileProducts: 'f32',
};

/** Runs the self-tests of what may be used. */
export async function findAbilities(gpu: GpuDevice, options: AbilityOptions = {}): Promise<FoundAbilities> {
  const subgroups =
    options.subgroups === 'off'
      ? ({ span: 0, state: { used: false, reason: "the option subgroups is 'off'" } } as const)
      : await checkSubgroups(gpu);
  const products = await findTileProducts(gpu, options);
  return {
    abilities: {
      tileProducts: products.tileProducts,
      shuffleSpan: subgroups.span,
      minTokensOfTile: options.minTokensOfTile ?? MIN_TOKENS_OF_TILE,
      sectionSize: options.sectionSize ?? SECTION_SIZE,
      maxWorkgroupsToSplit: options.maxWorkgroupsToSplit ?? MAX_WORKGROUPS_TO_SPLIT,
    },
    features: { subgroups: subgroups.state, ...products.features },
  };
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
