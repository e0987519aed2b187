/** Where the groups of a packed weight lie. Long rows are cut into slices: as many records as, together with the activations
 * of a full tile that meet them, stay in the first-level cache. A band of groups lies slice after slice:
 *
 *   band 0                                              | band 1          | ...
 *   slice 0: group 0 | group 1 | ... | slice 1: group 0 | group 1 | ...
 *
 * A kernel takes a slice of all groups of a band, so that it finds its activations in the first-level cache, while the
 * weights still come as one stream. Activations that come from the second-level cache keep the processor from fetching
 * weights ahead: reading from memory and multiplying then take their times one after the other rather than both at once.
 * Rows of a single slice lie group after group, and bands make no difference. */
import { TILE_TOKENS } from './activation-layout.ts';
import type { PackedFormat } from './packed-format.ts';

/** Most of what the smallest usual first-level cache (32 KiB) holds: lines that were used once take their place in it, too. */
const SLICE_BYTES = 20 * 1024;
/** Enough that few calls do. */
export const BAND_GROUPS = 32;

/** Records of each row. */
export interface Slice {
  readonly first: number;
  readonly count: number;
}

export interface Layout {
  readonly numGroups: number;
  readonly recordBytes: number;
  /** Bytes of a group, all slices together. */
  readonly groupBytes: number;
  readonly slices: readonly Slice[];
  /** Of records that two groups share. */
  readonly pairStep: number | undefined;
}

/** @param numGroups  of the whole weight */
export function layoutOf(format: PackedFormat, rowLength: number, numGroups: number): Layout {
  const { blockK, byteLength: recordBytes, pairStep } = format.record;
  const numRecords = Math.ceil(rowLength / blockK);
  const atOnce = (pairStep === undefined ? 1 : 2) * recordBytes + TILE_TOKENS * format.activations.bytesPerToken;
  // Two groups that do not share records are two streams: they come faster whole rows apart.
  const areTwoStreams = format.pairs === 'always' && pairStep === undefined;
  const numSlices = areTwoStreams ? 1 : Math.ceil(numRecords / Math.floor(SLICE_BYTES / atOnce));
  const length = Math.ceil(numRecords / numSlices);
  const slices = Array.from({ length: Math.ceil(numRecords / length) }, (_, i) => ({
    first: i * length,
    count: Math.min(length, numRecords - i * length),
  }));
  return { numGroups, recordBytes, groupBytes: numRecords * recordBytes, slices, pairStep };
}

/** Bytes from the weight's start to a group's part of a slice. */
export function sliceStart(
  { numGroups, recordBytes, groupBytes, pairStep }: Layout,
  group: number,
  slice: Slice,
): number {
  const isPaired = pairStep !== undefined;
  const first = group - (group % BAND_GROUPS);
  const inBand = Math.min(BAND_GROUPS, numGroups + (isPaired ? numGroups % 2 : 0) - first);
  const before = group - first - (isPaired ? group % 2 : 0);
  const step = isPaired ? (group % 2) * pairStep : 0;
  return first * groupBytes + (inBand * slice.first + before * slice.count) * recordBytes + step;
}

/** The group behind the last whose part of a slice follows that of `group`, as pairs where two share records. */
export function runEnd({ numGroups, slices }: Layout, group: number): number {
  return slices.length === 1 ? numGroups : Math.min(numGroups, group - (group % BAND_GROUPS) + BAND_GROUPS);
}
