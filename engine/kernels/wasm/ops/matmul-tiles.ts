/** Tiles of packed activations meet groups of packed weight rows, panel by panel. For many tokens a panel is unpacked first,
 * and full tiles read it as it then is (generators/weight-vectors.ts). Products go straight to `out`, or, where something is to
 * become of them first, by way of the thread's scratch memory (matmul-finish.ts). */
import { GROUP_ROWS } from '../generators/matmul-tile.ts';
import { THREAD_SCRATCH_BYTES } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import type { PackedFormat } from '../packing/packed-format.ts';
import type { WasmBuffer } from '../wasm-buffer.ts';
import { finish, isForKernels } from './matmul-finish.ts';
import { type MatmulJob, tileAddress, tileTokens } from './matmul-job.ts';

/** Bytes of weights that a panel of groups takes: what tile after tile of tokens finds in the L2 cache again. */
const PANEL_BYTES = 256 * 1024;
/** The most groups whose products are in the scratch memory at once: 16 KiB for each token of a tile. */
const MAX_UNFINISHED = 512;

/** Where a panel is unpacked: in the thread's scratch memory, behind the unfinished products. */
const UNPACKED_START = MAX_UNFINISHED * GROUP_ROWS * TILE_TOKENS * 4;
const UNPACKED_BYTES = THREAD_SCRATCH_BYTES - UNPACKED_START;

/** Groups of 8 weight rows. */
export interface GroupRange {
  readonly first: number;
  readonly end: number;
}

/** Groups that tile after tile of the chunk should meet before the next ones have their turn. */
export function groupsPerPanel(job: MatmulJob): number {
  const { groupBytes, numTokens } = job;
  if (numTokens <= TILE_TOKENS) return MAX_UNFINISHED;
  const numUnpacked = unpackedPanelGroups(job);
  if (numUnpacked > 0) return Math.min(MAX_UNFINISHED, numUnpacked);
  return Math.max(2, Math.min(MAX_UNFINISHED, Math.floor(PANEL_BYTES / groupBytes) & ~1));
}

/** Groups of an unpacked panel; 0 where panels stay packed: too few tokens, or rows of which not even two groups fit. */
function unpackedPanelGroups({ format, numRecords, numTokens }: MatmulJob): number {
  if (format.unpacked === undefined || numTokens < format.unpacked.minTokens) return 0;
  return Math.floor(UNPACKED_BYTES / (numRecords * format.unpacked.recordBytes)) & ~1;
}

/** All tokens of the chunk times groups of a packed weight: a panel at most.
 * @param scratch  address of the thread's scratch memory */
export function multiplyPacked(machine: Machine, chunk: MatmulJob, { first, end }: GroupRange, scratch: number): void {
  const { address } = chunk.weight.buffer as WasmBuffer;
  const multiply = (from: number, to: number): void => {
    if (from === to) return;
    const weight = address + from * chunk.groupBytes;
    const numGroups = to - from;
    const unpacked = numGroups <= unpackedPanelGroups(chunk) ? scratch + UNPACKED_START : 0;
    if (unpacked > 0) machine.kernels[`unpack_${chunk.format.dtype}`]!(weight, unpacked, numGroups * chunk.numRecords);
    multiplyGroups(machine, chunk, { weight, unpacked, group: from, numGroups }, scratch);
  };
  // A last group of fewer than 8 rows goes by way of the scratch memory, though the others may not have to.
  const endFull = Math.min(end, Math.floor(chunk.numRows / GROUP_ROWS));
  multiply(first, endFull);
  multiply(endFull, end);
}

/** Packed groups that lie one after another: all of 8 rows, or one of fewer. */
export interface PackedGroups {
  /** Address of the first. */
  readonly weight: number;
  /** The same groups, unpacked; 0 where they are not. */
  readonly unpacked: number;
  /** Which group of the weight it is. */
  readonly group: number;
  readonly numGroups: number;
}

/** @param scratch  room for the products of a tile: 32 bytes for each token and group */
export function multiplyGroups(machine: Machine, chunk: MatmulJob, groups: PackedGroups, scratch: number): void {
  const firstRow = groups.group * GROUP_ROWS;
  const numRows = Math.min(groups.numGroups * GROUP_ROWS, chunk.numRows - firstRow);
  const goesStraight = isForKernels(chunk) && numRows === groups.numGroups * GROUP_ROWS;
  const bias = typeof chunk.bias === 'number' ? chunk.bias + firstRow * 4 : 0;
  const stride = (goesStraight ? chunk.numRows : groups.numGroups * GROUP_ROWS) * 4;
  for (let start = 0; start < chunk.numTokens; start += TILE_TOKENS) {
    const firstToken = chunk.firstToken + start;
    const place = (firstToken * chunk.numRows + firstRow) * 4;
    if (goesStraight) {
      const residual = chunk.join === undefined ? 0 : chunk.join.operand + place;
      multiplyTile(machine, chunk, groups, { start, out: chunk.out + place, stride, bias, residual });
    } else {
      multiplyTile(machine, chunk, groups, { start, out: scratch, stride, bias, residual: 0 });
      const outputs = { firstToken, numTokens: tileTokens(chunk, start), firstRow, numRows };
      finish(machine, chunk, outputs, { address: scratch, stride });
    }
  }
}

interface Tile {
  /** First token in the chunk. */
  readonly start: number;
  readonly out: number;
  /** From a token's outputs to the next's. */
  readonly stride: number;
  /** Addresses, 0 for none. */
  readonly bias: number;
  readonly residual: number;
}

/** As many groups as go by the best kernel for the tile, and a rest of one by one. */
function multiplyTile(machine: Machine, chunk: MatmulJob, groups: PackedGroups, tile: Tile): void {
  const { format, numRecords } = chunk;
  const { out, stride, bias, residual } = tile;
  const tokens = tileTokens(chunk, tile.start);
  const x = tileAddress(chunk, tile.start);
  const isUnpacked = groups.unpacked > 0 && tokens === TILE_TOKENS;
  const width = isUnpacked ? unpackedWidth(machine, format) : packedWidth(machine, format, tile);
  const numTiles = Math.floor(groups.numGroups / width);
  if (numTiles > 0) {
    const kernel = isUnpacked ? chunk.unpacked[width]! : (width === 2 ? chunk.pairs : chunk.single)[tokens]!;
    kernel(isUnpacked ? groups.unpacked : groups.weight, x, out, stride, numRecords, numTiles, bias, residual);
  }
  const numDone = numTiles * width;
  if (numDone < groups.numGroups) {
    const kernel = chunk.single[tokens]!;
    const weight = groups.weight + numDone * chunk.groupBytes;
    const done = numDone * GROUP_ROWS * 4;
    const rest = (address: number): number => (address === 0 ? 0 : address + done);
    kernel(weight, x, out + done, stride, numRecords, groups.numGroups - numDone, rest(bias), rest(residual));
  }
}

/** How many groups go side by side. */
function unpackedWidth({ tileGroups }: Machine, { unpacked }: PackedFormat): 1 | 2 {
  return tileGroups === 2 ? unpacked!.groups : 1;
}

/** The first tile of a panel reads its weights from memory; the next ones find them in the cache. */
function packedWidth({ tileGroups }: Machine, { pairs }: PackedFormat, { start }: Tile): 1 | 2 {
  return tileGroups === 2 && (pairs === 'always' || (pairs === 'cached' && start > 0)) ? 2 : 1;
}
