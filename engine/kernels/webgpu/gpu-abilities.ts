/** What kernels may use of a device, by what it offers, what its self-tests said, and what the caller switched off. */
import type { FeatureState } from '../kernel-backend.ts';
import type { GpuDevice } from './gpu-device.ts';
import { checkSubgroups, type ShuffleSpan } from './lane-sums.ts';

/** Tokens from which a matmul is computed in tiles of 64 by 64; for fewer, most of a tile would be thrown away. */
const MIN_TOKENS_OF_TILE = 24;

export interface GpuAbilities {
  /** Neighbouring lanes that may exchange values without workgroup memory. */
  readonly shuffleSpan: ShuffleSpan;
  readonly minTokensOfTile: number;
}

export interface AbilityOptions {
  /** Whether threads of a subgroup may exchange values, where a self-test finds that they can. Default 'auto'. */
  readonly subgroups?: 'auto' | 'off';
  /** Tokens from which a matmul is computed in tiles. Default 24. The results are the same. */
  readonly minTokensOfTile?: number;
}

export interface FoundAbilities {
  readonly abilities: GpuAbilities;
  /** Each in use, or why not. */
  readonly features: Readonly<Record<string, FeatureState>>;
}

/** What every device can. */
export const PLAIN_ABILITIES: GpuAbilities = { shuffleSpan: 0, minTokensOfTile: MIN_TOKENS_OF_TILE };

/** Runs the self-tests of what may be used. */
export async function findAbilities(gpu: GpuDevice, options: AbilityOptions = {}): Promise<FoundAbilities> {
  const { minTokensOfTile = MIN_TOKENS_OF_TILE } = options;
  const subgroups =
    options.subgroups === 'off'
      ? ({ span: 0, state: { used: false, reason: "the option subgroups is 'off'" } } as const)
      : await checkSubgroups(gpu);
  return {
    abilities: { shuffleSpan: subgroups.span, minTokensOfTile },
    features: { subgroups: subgroups.state },
  };
}
