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
}

/** @param numGroups  of the whole weight */
export function layoutOf({ record, activations }: PackedFormat, rowLength: number, numGroups: number): Layout {
  const numRecords = Math.ceil(rowLength / record.blockK);
  const bytesAtOnce = record.byteLength + TILE_TOKENS * activations.bytesPerToken;
  const numSlices = Math.ceil(numRecords / Math.floor(SLICE_BYTES / bytesAtOnce));
  const length = Math.ceil(numRecords / numSlices);
  const slices = Array.from({ length: Math.ceil(numRecords / length) }, (_, i) => ({
    first: i * length,
    count: Math.min(length, numRecords - i * length),
  }));
  return { numGroups, recordBytes: record.byteLength, groupBytes: numRecords * record.byteLength, slices };
}

/** Bytes from the weight's start to a group's part of a slice. */
export function sliceStart({ numGroups, recordBytes, groupBytes }: Layout, group: number, slice: Slice): number {
  const first = group - (group % BAND_GROUPS);
  const inBand = Math.min(BAND_GROUPS, numGroups - first);
  return first * groupBytes + (inBand * slice.first + (group - first) * slice.count) * recordBytes;
}

/** The group behind the last whose part of a slice follows that of `group`. */
export function runEnd({ numGroups, slices }: Layout, group: number): number {
  return slices.length === 1 ? numGroups : Math.min(numGroups, group - (group % BAND_GROUPS) + BAND_GROUPS);
}
