/** Tiles of packed activations meet groups of packed weight rows. Products go straight to `out`, or, where something is to
 * become of them first, by way of the thread's scratch memory (matmul-finish.ts). */
import { GROUP_ROWS, tileName } from '../generators/matmul-tile.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { groupBytes } from '../packing/packed-format.ts';
import type { WasmBuffer } from '../wasm-buffer.ts';
import { finish, isPlain } from './matmul-finish.ts';
import { type MatmulJob, tileAddress, tileTokens } from './matmul-job.ts';

/** Bytes of weights that a panel of groups takes: what tile after tile of tokens finds in the L2 cache again. */
const PANEL_BYTES = 256 * 1024;
/** The most groups whose products are in the scratch memory at once: 16 KiB for each token of a tile. */
const MAX_UNFINISHED = 512;

/** Groups of 8 weight rows. */
export interface GroupRange {
  readonly first: number;
  readonly end: number;
}

/** Groups that tile after tile of the chunk should meet before the next ones have their turn. */
export function groupsPerPanel({ format, rowLength, numTokens }: MatmulJob): number {
  if (numTokens <= TILE_TOKENS) return MAX_UNFINISHED;
  return Math.max(2, Math.min(MAX_UNFINISHED, Math.floor(PANEL_BYTES / groupBytes(format, rowLength)) & ~1));
}

/** All tokens of the chunk times groups of a packed weight.
 * @param scratch  address of the thread's scratch memory */
export function multiplyPacked(machine: Machine, chunk: MatmulJob, { first, end }: GroupRange, scratch: number): void {
  const { address } = chunk.weight.buffer as WasmBuffer;
  const bytesPerGroup = groupBytes(chunk.format, chunk.rowLength);
  // A last group of fewer than 8 rows goes by way of the scratch memory, though the others may not have to.
  const endFull = Math.min(end, Math.floor(chunk.numRows / GROUP_ROWS));
  for (const [from, to] of [
    [first, endFull],
    [endFull, end],
  ] as const) {
    const groups = { weight: address + from * bytesPerGroup, group: from, numGroups: to - from };
    if (to > from) multiplyGroups(machine, chunk, groups, scratch);
  }
}

/** Packed groups that lie one after another: all of 8 rows, or one of fewer. */
export interface PackedGroups {
  /** Address of the first. */
  readonly weight: number;
  /** Which group of the weight it is. */
  readonly group: number;
  readonly numGroups: number;
}

/** @param scratch  room for the products of a tile: 32 bytes for each token and group */
export function multiplyGroups(machine: Machine, chunk: MatmulJob, groups: PackedGroups, scratch: number): void {
  const firstRow = groups.group * GROUP_ROWS;
  const numRows = Math.min(groups.numGroups * GROUP_ROWS, chunk.numRows - firstRow);
  const goesStraight = isPlain(chunk) && numRows === groups.numGroups * GROUP_ROWS;
  const scratchStride = groups.numGroups * GROUP_ROWS * 4;
  for (let start = 0; start < chunk.numTokens; start += TILE_TOKENS) {
    const firstToken = chunk.firstToken + start;
    if (goesStraight) {
      const out = chunk.out + (firstToken * chunk.numRows + firstRow) * 4;
      multiplyTile(machine, chunk, { ...groups, start, out, outStride: chunk.numRows * 4 });
    } else {
      multiplyTile(machine, chunk, { ...groups, start, out: scratch, outStride: scratchStride });
      const outputs = { firstToken, numTokens: tileTokens(chunk, start), firstRow, numRows };
      finish(machine, chunk, outputs, { address: scratch, stride: scratchStride });
    }
  }
}

interface Tile extends PackedGroups {
  /** First token in the chunk. */
  readonly start: number;
  readonly out: number;
  readonly outStride: number;
}

/** The first tile of a panel reads its weights from memory; the next ones find them in the cache. */
function multiplyTile({ kernels, tileGroups }: Machine, chunk: MatmulJob, tile: Tile): void {
  const { format, numRecords, rowLength } = chunk;
  const tokens = tileTokens(chunk, tile.start);
  const bytesPerGroup = groupBytes(format, rowLength);
  const x = tileAddress(chunk, tile.start);
  const hasPairs = format.pairs === 'always' || (format.pairs === 'cached' && tile.start > 0);
  const numPairs = tileGroups === 2 && hasPairs ? tile.numGroups >> 1 : 0;
  const numSingle = tile.numGroups - 2 * numPairs;
  if (numPairs > 0) {
    const kernel = kernels[tileName(format.dtype, { tokens, groups: 2 })]!;
    kernel(tile.weight, x, tile.out, tile.outStride, numRecords, numPairs);
  }
  if (numSingle > 0) {
    const kernel = kernels[tileName(format.dtype, { tokens, groups: 1 })]!;
    const out = tile.out + numPairs * 2 * GROUP_ROWS * 4;
    kernel(tile.weight + numPairs * 2 * bytesPerGroup, x, out, tile.outStride, numRecords, numSingle);
  }
}
