/** How many groups of weight rows tile after tile of tokens meets before the next ones have their turn: as many as the
 * caches, and the thread's scratch memory, hold.
 *
 *   scratch   | tiles' unfinished products | an unpacked panel, or the sums so far of all tokens with a packed one | */
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import { THREAD_SCRATCH_BYTES } from '../linear-memory.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import type { PackedFormat } from '../packing/packed-format.ts';
import { type Layout, runEnd } from '../packing/slices.ts';

/** Bytes of weights that a panel takes: what tile after tile of tokens finds in the L2 cache again. */
const PANEL_BYTES = 256 * 1024;
/** The most groups whose products with a tile are in the scratch memory at once: 16 KiB for each token. */
export const MAX_UNFINISHED = 512;
/** Bytes of one token's sums for a group. */
export const SUMS_BYTES = GROUP_ROWS * 4;

/** Where in the scratch memory the second part starts. */
export const REST_START = MAX_UNFINISHED * SUMS_BYTES * TILE_TOKENS;
const REST_BYTES = THREAD_SCRATCH_BYTES - REST_START;

/** Groups of a panel. */
export interface PanelSize {
  readonly groups: number;
  /** How many of them, at most, are unpacked: 0 where there are too few tokens, or rows of which not even two groups fit. */
  readonly unpacked: number;
}

/** What the size depends on. */
interface Work {
  readonly format: PackedFormat;
  readonly layout: Layout;
  readonly numRecords: number;
  readonly numTokens: number;
}

export function panelSize({ layout, numRecords, numTokens, format }: Work): PanelSize {
  const { slices, recordBytes } = layout;
  if (format.unpacked !== undefined && numTokens >= format.unpacked.minTokens) {
    const unpacked = Math.floor(REST_BYTES / (numRecords * format.unpacked.recordBytes)) & ~1;
    if (unpacked > 0) return { groups: Math.min(MAX_UNFINISHED, unpacked), unpacked };
  }
  if (numTokens <= TILE_TOKENS) return { groups: MAX_UNFINISHED, unpacked: 0 };
  const inCache = Math.max(2, Math.floor(PANEL_BYTES / (slices[0]!.count * recordBytes)) & ~1);
  const withSums =
    slices.length === 1 ? MAX_UNFINISHED : Math.max(1, Math.floor(REST_BYTES / (numTokens * SUMS_BYTES)));
  return { groups: Math.min(MAX_UNFINISHED, inCache, withSums), unpacked: 0 };
}

/** The end of the panel that starts at `group`, for all layers that go through the same groups. */
export function panelEnd(
  layers: readonly { readonly layout: Layout; readonly panel: PanelSize }[],
  group: number,
  end: number,
): number {
  let nearest = end;
  for (const { layout, panel } of layers) {
    const run = panel.unpacked > 0 ? end : runEnd(layout, group);
    nearest = Math.min(nearest, run, group + panel.groups);
  }
  return nearest;
}
