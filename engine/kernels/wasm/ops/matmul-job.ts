/** What the product with one weight, or the part of it that concerns some of the tokens, works on: where everything lies,
 * and its activations packed tile by tile (packing/activation-layout.ts). */
import type { Tensor } from '../../../tensor/tensor.ts';
import { type Part, partEnd, partStart } from '../../part.ts';
import { vectorOf } from '../../reference/host-memory.ts';
import { GROUP_ROWS, tileName } from '../generators/matmul-tile.ts';
import type { Kernel } from '../kernel-module.ts';
import { ACTIVATION_AREA_BYTES, type LinearMemory } from '../linear-memory.ts';
import type { Machine } from '../machine.ts';
import { TILE_TOKENS } from '../packing/activation-layout.ts';
import type { PackedFormat } from '../packing/packed-format.ts';
import { type Layout, layoutOf } from '../packing/slices.ts';
import { addressOf } from '../wasm-buffer.ts';
import { hostTensor } from './host-tensor.ts';
import { type PanelSize, panelSize } from './panels.ts';

/** An elementwise kernel of two operands, and the address of the first, which lies like `out`. */
export interface Join {
  readonly kernel: 'add' | 'silu_mul' | 'gelu_mul';
  readonly operand: number;
}

/** The address of an f32 bias for whole groups of rows, or the values of another. */
export type Bias = number | Float32Array;

export interface MatmulJob {
  /** Of the weight as kernels see it. */
  readonly format: PackedFormat;
  readonly x: number;
  /** Where its values are read and where they lie packed: set by each thread that runs the job. */
  values: number;
  packed: number;
  readonly weight: Tensor;
  readonly bias: Bias | undefined;
  readonly join: Join | undefined;
  readonly out: number;
  readonly firstToken: number;
  readonly numTokens: number;
  /** Weight rows, that is output features. */
  readonly numRows: number;
  readonly rowLength: number;
  readonly numRecords: number;
  /** Where groups of weight rows lie. */
  readonly layout: Layout;
  /** Of the number of tokens. */
  panel: PanelSize;
  /** Bytes of a token's packed activations. */
  readonly tokenBytes: number;
  /** Kernels for packed weights by number of tokens, for one group of rows at a time and for two. */
  readonly single: readonly (Kernel | undefined)[];
  readonly pairs: readonly (Kernel | undefined)[];
  /** How many groups go side by side: of weights that come from memory, and of those that the cache holds. */
  readonly firstWidth: 1 | 2;
  readonly cachedWidth: 1 | 2;
  /** For a full tile and unpacked weights, and how many groups it takes. */
  readonly unpacked: { readonly kernel: Kernel | undefined; readonly groups: 1 | 2 };
}

/** A linear layer. */
export interface Layer {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  readonly join?: Join | undefined;
  readonly out: Tensor;
}

export function jobOf(
  { memory, kernels, tileGroups }: Machine,
  { x, weight, bias, join, out }: Layer,
  format: PackedFormat,
): MatmulJob {
  const [numRows, rowLength] = weight.shape as [number, number];
  const tiles = (groups: 1 | 2) =>
    Array.from({ length: TILE_TOKENS + 1 }, (_, tokens) => kernels[tileName(format.dtype, { tokens, groups })]);
  const unpackedGroups = tileGroups === 2 ? (format.unpacked?.groups ?? 1) : 1;
  const isPairs = tileGroups === 2 && format.pairs !== 'never';
  return {
    format,
    x: addressOf(x),
    values: addressOf(x),
    packed: 0,
    weight,
    bias: biasOf(memory, bias),
    join,
    out: addressOf(out),
    firstToken: 0,
    numTokens: x.shape[0]!,
    numRows,
    rowLength,
    numRecords: Math.ceil(rowLength / format.record.blockK),
    layout: layoutOf(format, rowLength, Math.ceil(numRows / GROUP_ROWS)),
    panel: { groups: 0, unpacked: 0 },
    tokenBytes: bytesPerToken(format, rowLength),
    single: tiles(1),
    pairs: tiles(2),
    firstWidth: isPairs && format.pairs === 'always' ? 2 : 1,
    cachedWidth: isPairs ? 2 : 1,
    unpacked: {
      kernel: kernels[tileName(format.dtype, { tokens: TILE_TOKENS, groups: unpackedGroups, isUnpacked: true })],
      groups: unpackedGroups,
    },
  };
}

/** What concerns some of the tokens. */
export function partOfJob(job: MatmulJob, firstToken: number, numTokens: number): MatmulJob {
  const part = { ...job, firstToken, numTokens };
  part.panel = panelSize(part);
  return part;
}

function biasOf(memory: LinearMemory, bias: Tensor | undefined): Bias | undefined {
  if (bias === undefined) return undefined;
  const isForKernels = bias.dtype === 'f32' && bias.numElements % GROUP_ROWS === 0;
  return isForKernels ? addressOf(bias) : vectorOf(hostTensor(memory, bias));
}

/** Of packed activations. */
export function bytesPerToken({ record, activations }: PackedFormat, rowLength: number): number {
  return Math.ceil(rowLength / record.blockK) * activations.bytesPerToken;
}

/** Whether rows of this length fit the activation area: one full tile must, twice, as a gated MLP may want its activations
 * in two formats. */
export function fitsActivationArea(format: PackedFormat, rowLength: number): boolean {
  return 2 * bytesPerToken(format, rowLength) * TILE_TOKENS <= ACTIVATION_AREA_BYTES;
}

/** Tokens in the tile that starts at token `start` of a chunk. */
export const tileTokens = (chunk: MatmulJob, start: number): number => Math.min(TILE_TOKENS, chunk.numTokens - start);

/** Where the tile that starts at token `start` of a chunk lies, packed. All tiles before it are full. */
export function tileAddress({ tokenBytes, packed }: MatmulJob, start: number): number {
  return packed + start * tokenBytes;
}

/** A part is a range of tokens. */
export function packChunk(machine: Machine, chunk: MatmulJob, part: Part): void {
  const { format, values, firstToken, numTokens, rowLength } = chunk;
  const end = partEnd(numTokens, part);
  for (let token = partStart(numTokens, part); token < end; token++) {
    const start = token - (token % TILE_TOKENS);
    format.packActivations(machine, {
      x: values + (firstToken + token) * rowLength * 4,
      length: rowLength,
      tile: tileAddress(chunk, start),
      tokens: tileTokens(chunk, start),
      token: token - start,
    });
  }
}
