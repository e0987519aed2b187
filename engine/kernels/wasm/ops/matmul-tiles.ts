/** Tiles of packed activations meet groups of packed weight rows, panel by panel and, where rows are long, slice by slice
 * (packing/slices.ts); sums so far lie in the thread's scratch memory meanwhile.
 *
 *   packed panel      for each slice: for each tile      the slice comes from memory for the first tile
 *   unpacked panel    for each tile, all slices          for many tokens (generators/weight-vectors.ts)
 *
 * Products go straight to `out`, or, where something is to become of them first, by way of the scratch memory
 * (matmul-finish.ts). */
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { runEnd, type Slice, sliceStart } from '../packing/slices.ts';
import type { WasmBuffer } from '../wasm-buffer.ts';
import { finish, isForKernels } from './matmul-finish.ts';
import { type MatmulJob, tileAddress, tileTokens } from './matmul-job.ts';
import { MAX_UNFINISHED, REST_START, SUMS_BYTES } from './panels.ts';
import { runKernel, runUnpacked, type TileSums } from './tile-call.ts';

/** Groups of 8 weight rows. */
export interface GroupRange {
  readonly first: number;
  readonly end: number;
}

/** All tokens of the chunk times groups of a packed weight: a panel at most.
 * @param scratch  address of the thread's scratch memory */
export function multiplyPacked(machine: Machine, chunk: MatmulJob, { first, end }: GroupRange, scratch: number): void {
  // A last group of fewer than 8 rows goes by way of the scratch memory, though the others may not have to.
  const endFull = Math.min(end, Math.floor(chunk.numRows / GROUP_ROWS));
  if (first < endFull) multiplyRange(machine, chunk, { first, end: endFull }, scratch);
  if (endFull < end) multiplyRange(machine, chunk, { first: endFull, end }, scratch);
}

function multiplyRange(machine: Machine, chunk: MatmulJob, { first, end }: GroupRange, scratch: number): void {
  const { address } = chunk.weight.buffer as WasmBuffer;
  const numGroups = end - first;
  const unpacked = numGroups <= chunk.panel.unpacked ? scratch + REST_START : 0;
  const groups = { address, isAlone: false, unpacked, group: first, numGroups };
  if (unpacked > 0) unpack(machine, chunk, groups);
  multiplyGroups(machine, chunk, groups, scratch);
}

/** Packed groups whose parts of a slice lie one after another: all of 8 rows, or one of fewer. */
export interface PackedGroups {
  /** Of the weight, or of a group that lies by itself. */
  readonly address: number;
  readonly isAlone: boolean;
  /** The same groups, unpacked, whole rows; 0 where they are not. */
  readonly unpacked: number;
  /** Which group of the weight the first is. */
  readonly group: number;
  readonly numGroups: number;
}

/** Where a group's part of a slice lies. */
function partOf({ layout }: MatmulJob, { address, isAlone, group }: PackedGroups, slice: Slice, done = 0): number {
  return address + (isAlone ? slice.first * layout.recordBytes : sliceStart(layout, group + done, slice));
}

/** Slices come together again. */
function unpack({ kernels }: Machine, chunk: MatmulJob, groups: PackedGroups): void {
  const { layout, format, numRecords } = chunk;
  const kernel = kernels[`unpack_${format.dtype}`]!;
  const { recordBytes } = format.unpacked!;
  if (layout.slices.length === 1) {
    kernel(partOf(chunk, groups, layout.slices[0]!), groups.unpacked, groups.numGroups * numRecords);
    return;
  }
  for (const slice of layout.slices) {
    for (let i = 0; i < groups.numGroups; i++) {
      const to = groups.unpacked + (i * numRecords + slice.first) * recordBytes;
      kernel(partOf(chunk, groups, slice, i), to, slice.count);
    }
  }
}

/** @param scratch  room for the products of a tile: 32 bytes for each token and group; in multiplyPacked, all of it */
export function multiplyGroups(machine: Machine, chunk: MatmulJob, groups: PackedGroups, scratch: number): void {
  const panel = panelOf(chunk, groups, scratch);
  const { numTokens, layout } = chunk;
  if (panel.takesTurns) {
    for (const slice of layout.slices) {
      for (let start = 0; start < numTokens; start += TILE_TOKENS) {
        multiplySlice(chunk, panel, slice, start, 0);
        if (slice.first + slice.count === chunk.numRecords) finishTiles(machine, chunk, panel, { start, numTiles: 1 });
      }
    }
    return;
  }
  for (let start = 0; start < numTokens; ) {
    const numTiles = tilesAtOnce(chunk, panel, start);
    multiplyTiles(chunk, panel, start, numTiles);
    finishTiles(machine, chunk, panel, { start, numTiles });
    start += numTiles * TILE_TOKENS;
  }
}

/** Groups, and how tiles meet them. */
interface Panel extends PackedGroups {
  readonly scratch: number;
  readonly firstRow: number;
  readonly numRows: number;
  /** Whether nothing becomes of products that a kernel cannot do. */
  readonly goesStraight: boolean;
  /** Whether tile after tile meets a slice before the next: then the sums so far of all tokens are kept. */
  readonly takesTurns: boolean;
}

function panelOf(chunk: MatmulJob, groups: PackedGroups, scratch: number): Panel {
  const { address, isAlone, unpacked, group, numGroups } = groups;
  const firstRow = group * GROUP_ROWS;
  const numRows = Math.min(numGroups * GROUP_ROWS, chunk.numRows - firstRow);
  const goesStraight = isForKernels(chunk) && numRows === numGroups * GROUP_ROWS;
  const takesTurns = unpacked === 0 && !isAlone && chunk.numTokens > TILE_TOKENS;
  return { address, isAlone, unpacked, group, numGroups, scratch, firstRow, numRows, goesStraight, takesTurns };
}

/** Tiles of tokens that a kernel takes in one call, the one that starts at token `start` first: with unpacked weights, all
 * full ones whose products there is room for. */
function tilesAtOnce(chunk: MatmulJob, { unpacked, numGroups, goesStraight }: Panel, start: number): number {
  const numFull = Math.floor((chunk.numTokens - start) / TILE_TOKENS);
  if (unpacked === 0 || numFull === 0 || numGroups % chunk.unpacked.groups !== 0) return 1;
  return goesStraight ? numFull : Math.min(numFull, Math.floor(MAX_UNFINISHED / numGroups));
}

/** Tiles of tokens from token `start` on. */
interface TileRun {
  readonly start: number;
  readonly numTiles: number;
}

function finishTiles(machine: Machine, chunk: MatmulJob, panel: Panel, { start, numTiles }: TileRun): void {
  const { scratch, firstRow, numRows, numGroups, goesStraight } = panel;
  if (goesStraight) return;
  const numTokens = Math.min(numTiles * TILE_TOKENS, chunk.numTokens - start);
  const outputs = { firstToken: chunk.firstToken + start, numTokens, firstRow, numRows };
  finish(machine, chunk, outputs, { address: scratch, stride: numGroups * SUMS_BYTES });
}

/** Tiles with all slices: of the last groups, when the kernel does not take them as well, only a single tile. */
function multiplyTiles(chunk: MatmulJob, panel: Panel, start: number, numTiles: number): void {
  const { unpacked, numGroups } = panel;
  const { kernel, groups } = chunk.unpacked;
  let done = 0;
  if (unpacked > 0 && tileTokens(chunk, start) === TILE_TOKENS) {
    done = numGroups - (numGroups % groups);
    const sums = sumsOf(chunk, panel, { first: 0, count: chunk.numRecords }, start);
    if (done > 0) runUnpacked(kernel!, sums, { weight: unpacked, numTiles: done / groups }, numTiles);
  }
  if (done === numGroups) return;
  for (const slice of chunk.layout.slices) multiplySlice(chunk, panel, slice, start, done);
}

/** The tile with a slice of the packed groups from the `done`th on, run by run. */
function multiplySlice(chunk: MatmulJob, panel: Panel, slice: Slice, start: number, done: number): void {
  const { group, numGroups, isAlone } = panel;
  const { single, pairs, layout } = chunk;
  const tokens = tileTokens(chunk, start);
  const sums = sumsOf(chunk, panel, slice, start);
  const isShared = layout.pairStep !== undefined;
  // The first tile reads the weights from memory, the next ones find them in the cache. Groups that share records should go
  // together; registers of 128 bits have room for both with two tokens.
  const width = isShared && tokens <= 2 ? 2 : start === 0 ? chunk.firstWidth : chunk.cachedWidth;
  for (let from = done; from < numGroups; ) {
    const end = isAlone ? numGroups : Math.min(numGroups, runEnd(layout, group + from) - group);
    // The second of two groups that share records is not followed by the next group.
    const isSecond = isShared && (group + from) % 2 === 1;
    const numPairs = width === 1 || isSecond ? 0 : Math.floor((end - from) / 2);
    const count = numPairs > 0 ? 2 * numPairs : isSecond ? 1 : end - from;
    const kernel = (numPairs > 0 ? pairs : single)[tokens]!;
    const weight = partOf(chunk, panel, slice, from);
    runKernel(kernel, sums, { weight, group: from, numTiles: numPairs > 0 ? numPairs : count });
    from += count;
  }
}

/** A tile's sums over a slice of the panel's rows. */
function sumsOf(chunk: MatmulJob, panel: Panel, slice: Slice, start: number): TileSums {
  const { numGroups, scratch, firstRow, goesStraight, takesTurns } = panel;
  const { numRows, numRecords, bias, join, format } = chunk;
  const place = ((chunk.firstToken + start) * numRows + firstRow) * 4;
  const isLast = slice.first + slice.count === numRecords;
  const beforeStride = numGroups * SUMS_BYTES;
  const soFar = takesTurns ? scratch + REST_START + start * beforeStride : scratch;
  return {
    x: tileAddress(chunk, start) + slice.first * tileTokens(chunk, start) * format.activations.bytesPerToken,
    numRecords: slice.count,
    out: isLast ? (goesStraight ? chunk.out + place : scratch) : soFar,
    outStride: isLast && goesStraight ? numRows * 4 : beforeStride,
    bias: isLast && typeof bias === 'number' ? bias + firstRow * 4 : 0,
    residual: isLast && goesStraight && join !== undefined ? join.operand + place : 0,
    before: slice.first === 0 ? 0 : soFar,
    beforeStride,
  };
}
