/** matmul with a packed weight: activations are packed, then tiles of 4 tokens meet groups of 8 weight rows.
 *
 *   for a chunk of tokens that fits the activation area:
 *     pack      a part is a range of (token, record) pairs        -- meet --
 *     multiply  a part is a range of groups of weight rows:
 *                 for a panel of groups that stays in the L2 cache, for a tile of tokens: one kernel call
 *                                                                 -- meet, before the next chunk --
 * A decode step is one chunk, one tile and one panel: the weight streams by once. Its activations are so few that every
 * thread packs them all for itself, which takes less time than to meet. */

import type { Tensor } from '../../../tensor/tensor.ts';
import type { MatmulArgs } from '../../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../../part.ts';
import { vectorOf } from '../../reference/host-memory.ts';
import { GROUP_ROWS, tileName } from '../generators/matmul-tile.ts';
import {
  ACTIVATION_AREA_BYTES,
  ACTIVATION_AREA_START,
  THREAD_ACTIVATION_BYTES,
  threadActivations,
  threadScratch,
} from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import { groupBytes, type PackedFormat } from '../packing/packed-format.ts';
import { addressOf, packingOf, type WasmBuffer } from '../wasm-buffer.ts';
import { hostTensor } from './host-tensor.ts';
import type { NativeOp } from './native-op.ts';

/** Bytes of weights that a panel of groups takes: what tile after tile of tokens finds in the L2 cache again. */
const PANEL_BYTES = 192 * 1024;

export const matmul: NativeOp<'matmul'> = {
  takes: ({ weight }) => packingOf(weight) !== undefined,
  run(machine, args, { part, meet }) {
    const job = jobOf(args);
    const { numTokens, numRows, numRecords } = job;
    if (numTokens === 0 || numRows === 0) return;
    if (numRecords === 0) {
      fillWithBias(machine, job, part);
      return;
    }
    if (numTokens * bytesPerToken(job.format, job.rowLength) <= THREAD_ACTIVATION_BYTES) {
      const alone = { ...job, packed: threadActivations(part.index) };
      packChunk(machine, alone, WHOLE);
      multiplyChunk(machine, alone, part);
      return;
    }
    for (let first = 0; first < numTokens; first += job.chunkTokens) {
      if (first > 0) meet();
      const chunk = { ...job, firstToken: first, numTokens: Math.min(job.chunkTokens, numTokens - first) };
      packChunk(machine, chunk, part);
      meet();
      multiplyChunk(machine, chunk, part);
    }
  },
};

/** Whether rows of this length fit the activation area: at least one full tile must. */
export function fitsActivationArea(format: PackedFormat, rowLength: number): boolean {
  return bytesPerToken(format, rowLength) * TILE_TOKENS <= ACTIVATION_AREA_BYTES;
}

function bytesPerToken({ record, activations }: PackedFormat, rowLength: number): number {
  return Math.ceil(rowLength / record.blockK) * activations.bytesPerToken;
}

/** One matmul, or the part of it that concerns some of its tokens. */
interface Job {
  readonly format: PackedFormat;
  readonly x: number;
  /** Where its packed activations go. */
  readonly packed: number;
  readonly weight: number;
  readonly bias: Tensor | undefined;
  readonly out: number;
  readonly firstToken: number;
  readonly numTokens: number;
  /** Weight rows, that is output features. */
  readonly numRows: number;
  readonly rowLength: number;
  readonly numRecords: number;
  readonly chunkTokens: number;
}

function jobOf({ x, weight, bias, out }: MatmulArgs): Job {
  const { format, numRows, rowLength } = packingOf(weight)!;
  const numTiles = Math.floor(ACTIVATION_AREA_BYTES / Math.max(1, bytesPerToken(format, rowLength) * TILE_TOKENS));
  return {
    format,
    x: addressOf(x),
    packed: ACTIVATION_AREA_START,
    weight: (weight.buffer as WasmBuffer).address,
    bias,
    out: addressOf(out),
    firstToken: 0,
    numTokens: x.shape[0]!,
    numRows,
    rowLength,
    numRecords: Math.ceil(rowLength / format.record.blockK),
    chunkTokens: numTiles * TILE_TOKENS,
  };
}

/** Tokens in the tile that starts at token `start` of a chunk. */
const tileTokens = (chunk: Job, start: number): number => Math.min(TILE_TOKENS, chunk.numTokens - start);

/** Where the tile that starts at token `start` of a chunk lies, packed. All tiles before it are full. */
function tileAddress({ format, rowLength, packed }: Job, start: number): number {
  return packed + start * bytesPerToken(format, rowLength);
}

function packChunk(machine: Machine, chunk: Job, part: Part): void {
  const { format, numTokens, numRecords, rowLength } = chunk;
  const end = partEnd(numTokens * numRecords, part);
  for (let unit = partStart(numTokens * numRecords, part); unit < end; ) {
    const token = Math.floor(unit / numRecords);
    const first = unit % numRecords;
    const count = Math.min(numRecords - first, end - unit);
    const start = token - (token % TILE_TOKENS);
    const tokens = tileTokens(chunk, start);
    const firstValue = first * format.record.blockK;
    format.packActivations(machine, {
      x: chunk.x + ((chunk.firstToken + token) * rowLength + firstValue) * 4,
      numValues: rowLength - firstValue,
      record: tileAddress(chunk, start) + first * tokens * format.activations.bytesPerToken,
      count,
      tokens,
      token: token - start,
    });
    unit += count;
  }
}

function multiplyChunk(machine: Machine, chunk: Job, part: Part): void {
  const { format, numTokens, numRows, rowLength } = chunk;
  const numGroups = Math.ceil(numRows / GROUP_ROWS);
  const endGroup = partEnd(numGroups, part);
  // A group with fewer than 8 rows writes 8 outputs all the same; it goes by way of the scratch memory.
  const endFull = Math.min(endGroup, Math.floor(numRows / GROUP_ROWS));
  const panelGroups = Math.max(2, Math.floor(PANEL_BYTES / groupBytes(format, rowLength)) & ~1);
  for (let group = partStart(numGroups, part); group < endFull; ) {
    const numPanel = numTokens <= TILE_TOKENS ? endFull - group : Math.min(panelGroups, endFull - group);
    for (let start = 0; start < numTokens; start += TILE_TOKENS) {
      const out = chunk.out + ((chunk.firstToken + start) * numRows + group * GROUP_ROWS) * 4;
      multiplyTile(machine, chunk, { start, group, numGroups: numPanel, out, outStride: numRows * 4 });
    }
    group += numPanel;
  }
  if (endFull < endGroup) multiplyLastGroup(machine, chunk, endFull, threadScratch(part.index));
  if (chunk.bias !== undefined) addBias(machine, chunk, part, chunk.bias);
}

interface Tile {
  /** First token in the chunk. */
  readonly start: number;
  readonly group: number;
  readonly numGroups: number;
  readonly out: number;
  readonly outStride: number;
}

/** The first tile of a panel reads its weights from memory; the next ones find them in the cache. */
function multiplyTile({ kernels, tileGroups }: Machine, chunk: Job, tile: Tile): void {
  const { format, numRecords, rowLength } = chunk;
  const tokens = tileTokens(chunk, tile.start);
  const bytesPerGroup = groupBytes(format, rowLength);
  const x = tileAddress(chunk, tile.start);
  const weight = chunk.weight + tile.group * bytesPerGroup;
  const hasPairs = format.pairs === 'always' || (format.pairs === 'cached' && tile.start > 0);
  const numPairs = tileGroups === 2 && hasPairs ? tile.numGroups >> 1 : 0;
  const numSingle = tile.numGroups - 2 * numPairs;
  if (numPairs > 0) {
    const kernel = kernels[tileName(format.dtype, { tokens, groups: 2 })]!;
    kernel(weight, x, tile.out, tile.outStride, numRecords, numPairs);
  }
  if (numSingle > 0) {
    const kernel = kernels[tileName(format.dtype, { tokens, groups: 1 })]!;
    const out = tile.out + numPairs * 2 * GROUP_ROWS * 4;
    kernel(weight + numPairs * 2 * bytesPerGroup, x, out, tile.outStride, numRecords, numSingle);
  }
}

function multiplyLastGroup(machine: Machine, chunk: Job, group: number, scratch: number): void {
  const { floats } = machine.memory;
  const numLast = chunk.numRows - group * GROUP_ROWS;
  for (let start = 0; start < chunk.numTokens; start += TILE_TOKENS) {
    const outStride = GROUP_ROWS * 4;
    multiplyTile(machine, chunk, { start, group, numGroups: 1, out: scratch, outStride });
    for (let m = 0; m < tileTokens(chunk, start); m++) {
      const to = chunk.out / 4 + (chunk.firstToken + start + m) * chunk.numRows + group * GROUP_ROWS;
      const from = scratch / 4 + m * GROUP_ROWS;
      floats.copyWithin(to, from, from + numLast);
    }
  }
}

/** Adds the bias to the part's own outputs. */
function addBias({ kernels, memory }: Machine, chunk: Job, part: Part, bias: Tensor): void {
  const { first, count } = rowsOf(chunk, part);
  const values = bias.dtype === 'f32' ? undefined : vectorOf(hostTensor(memory, bias));
  for (let token = chunk.firstToken; token < chunk.firstToken + chunk.numTokens; token++) {
    const out = chunk.out + (token * chunk.numRows + first) * 4;
    if (values === undefined) kernels.add!(out, addressOf(bias) + first * 4, out, count);
    else for (let i = 0; i < count; i++) memory.floats[out / 4 + i]! += values[first + i]!;
  }
}

/** Of a weight without columns the products are 0. */
function fillWithBias(machine: Machine, job: Job, part: Part): void {
  const { first, count } = rowsOf(job, part);
  for (let token = 0; token < job.numTokens; token++) {
    const start = job.out / 4 + token * job.numRows + first;
    machine.memory.floats.fill(0, start, start + count);
  }
  if (job.bias !== undefined) addBias(machine, job, part, job.bias);
}

function rowsOf({ numRows }: Job, part: Part): { readonly first: number; readonly count: number } {
  const numGroups = Math.ceil(numRows / GROUP_ROWS);
  const first = Math.min(numRows, partStart(numGroups, part) * GROUP_ROWS);
  return { first, count: Math.min(numRows, partEnd(numGroups, part) * GROUP_ROWS) - first };
}
