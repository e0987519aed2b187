/** What becomes of a product of query and key on the way to a weight, as kernels take it. */
import type { PagedAttentionArgs } from '../../ops.ts';
import { SCALING, type StripDType } from '../generators/attention-rows.ts';

export interface Scoring {
  /** Of finished scores, and what weights carry (SCALING). */
  readonly scale: number;
  readonly weightScale: number;
  readonly isCapped: 0 | 1;
  readonly softCap: number;
}

export function scoringOf({ keyCache, scale, softCap }: PagedAttentionArgs): Scoring {
  const scaling = SCALING[keyCache.dtype as StripDType];
  const isCapped = softCap === undefined ? 0 : 1;
  return { scale: scale * scaling.score, weightScale: scaling.weight, isCapped, softCap: softCap ?? 0 };
}
