/** Tiles of packed activations meet groups of packed weight rows, and outputs get their bias. */
import { type Part, partEnd, partStart } from '../../part.ts';
import { vectorOf } from '../../reference/host-memory.ts';
import { GROUP_ROWS, tileName } from '../generators/matmul-tile.ts';
import { threadScratch } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { groupBytes } from '../packing/packed-format.ts';
import { addressOf, type WasmBuffer } from '../wasm-buffer.ts';
import { hostTensor } from './host-tensor.ts';
import { type MatmulJob, tileAddress, tileTokens } from './matmul-job.ts';

/** Bytes of weights that a panel of groups takes: what tile after tile of tokens finds in the L2 cache again. */
const PANEL_BYTES = 256 * 1024;

/** Groups of 8 weight rows. */
export interface GroupRange {
  readonly first: number;
  readonly end: number;
}

/** All tokens of the chunk times the groups of a packed weight, panel by panel. */
export function multiplyPacked(machine: Machine, chunk: MatmulJob, { first, end }: GroupRange, part: Part): void {
  const { format, numRows, rowLength, weight } = chunk;
  const { address } = weight.buffer as WasmBuffer;
  const bytesPerGroup = groupBytes(format, rowLength);
  // A group with fewer than 8 rows writes 8 outputs all the same; it goes by way of the scratch memory.
  const endFull = Math.min(end, Math.floor(numRows / GROUP_ROWS));
  const panelGroups = Math.max(2, Math.floor(PANEL_BYTES / bytesPerGroup) & ~1);
  for (let group = first; group < endFull; ) {
    const left = endFull - group;
    const numGroups = chunk.numTokens <= TILE_TOKENS ? left : Math.min(panelGroups, left);
    multiplyFull(machine, chunk, { weight: address + group * bytesPerGroup, group, numGroups });
    group += numGroups;
  }
  if (endFull < end) {
    multiplyLast(
      machine,
      chunk,
      { weight: address + endFull * bytesPerGroup, group: endFull },
      threadScratch(part.index),
    );
  }
}

/** Packed groups that lie one after another. */
export interface PackedGroups {
  /** Address of the first. */
  readonly weight: number;
  /** Which group of the weight it is. */
  readonly group: number;
  readonly numGroups: number;
}

/** Groups of 8 rows each. */
export function multiplyFull(machine: Machine, chunk: MatmulJob, groups: PackedGroups): void {
  const { numTokens, numRows, firstToken } = chunk;
  for (let start = 0; start < numTokens; start += TILE_TOKENS) {
    const out = chunk.out + ((firstToken + start) * numRows + groups.group * GROUP_ROWS) * 4;
    multiplyTile(machine, chunk, { ...groups, start, out, outStride: numRows * 4 });
  }
}

/** The last group, of fewer than 8 rows.
 * @param scratch  address of memory for a tile's outputs */
export function multiplyLast(
  machine: Machine,
  chunk: MatmulJob,
  last: Omit<PackedGroups, 'numGroups'>,
  scratch: number,
): void {
  const { floats } = machine.memory;
  const firstRow = last.group * GROUP_ROWS;
  const numLast = chunk.numRows - firstRow;
  for (let start = 0; start < chunk.numTokens; start += TILE_TOKENS) {
    multiplyTile(machine, chunk, { ...last, numGroups: 1, start, out: scratch, outStride: GROUP_ROWS * 4 });
    for (let m = 0; m < tileTokens(chunk, start); m++) {
      const to = chunk.out / 4 + (chunk.firstToken + start + m) * chunk.numRows + firstRow;
      const from = scratch / 4 + m * GROUP_ROWS;
      floats.copyWithin(to, from, from + numLast);
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

/** Adds the bias, where there is one, to the outputs of some groups. */
export function addBias({ kernels, memory }: Machine, chunk: MatmulJob, groups: GroupRange): void {
  const { bias } = chunk;
  if (bias === undefined) return;
  const { first, count } = rowsOf(chunk, groups);
  const values = bias.dtype === 'f32' ? undefined : vectorOf(hostTensor(memory, bias));
  for (let token = chunk.firstToken; token < chunk.firstToken + chunk.numTokens; token++) {
    const out = chunk.out + (token * chunk.numRows + first) * 4;
    if (values === undefined) kernels.add!(out, addressOf(bias) + first * 4, out, count);
    else for (let i = 0; i < count; i++) memory.floats[out / 4 + i]! += values[first + i]!;
  }
}

/** Of a weight without columns the products are 0. */
export function fillWithBias(machine: Machine, job: MatmulJob, part: Part): void {
  const groups = { first: partStart(job.numGroups, part), end: partEnd(job.numGroups, part) };
  const { first, count } = rowsOf(job, groups);
  for (let token = 0; token < job.numTokens; token++) {
    const start = job.out / 4 + token * job.numRows + first;
    machine.memory.floats.fill(0, start, start + count);
  }
  addBias(machine, job, groups);
}

function rowsOf(
  { numRows }: MatmulJob,
  { first, end }: GroupRange,
): { readonly first: number; readonly count: number } {
  const firstRow = Math.min(numRows, first * GROUP_ROWS);
  return { first: firstRow, count: Math.min(numRows, end * GROUP_ROWS) - firstRow };
}
