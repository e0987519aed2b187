/** What kernels may use of a device. `find-abilities.ts` finds it out. */
import type { FeatureState } from '../kernel-backend.ts';
import type { ShuffleSpan } from './lane-sums.ts';
import type { MatrixUnit } from './ops/matmul-matrix-code.ts';

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
  /** What a matmul of few tokens multiplies with quantized weights: the activations, or those rounded to 8 bits. */
  readonly matvecProducts: 'f32' | 'int8';
}

export interface AbilityOptions {
  /** 'f16' lets matmuls of many tokens multiply in half precision, where the device can: faster, and then a token's bits
   * depend on how many others are in the batch. Default 'f32'. */
  readonly matmulPrecision?: 'f32' | 'f16';
  /** 'int8' rounds activations to 127 levels per 32 before they meet weights of Q8_0, Q4_0 or Q4_K in matmuls of few tokens:
   * what llama.cpp does on CPUs. Default 'f32'. */
  readonly matvecPrecision?: 'f32' | 'int8';
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
  matvecProducts: 'f32',
};
