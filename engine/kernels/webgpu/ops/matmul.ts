/** matmul: chooses a kernel for each part of the weight. An output is a sum of K products, in groups of 32.
 *
 *   row of weight   | group 0 | group 1 | ... | group 31 | group 32 | ...      K / 32 groups
 *   lane               0         1              31         0
 *
 * For few tokens, 32 lanes share each sum (`matmul-team-code.ts`); for many, a thread has whole sums, and workgroups share
 * what is read (`matmul-tile-code.ts`). The order in which a sum is added up is the same in every kernel: within a lane by
 * group, then over the lanes (`lane-sums.ts`). So a token's bits do not depend on how many others are in the batch
 * (law 2). Tiles of half precision are the exception, and only there when asked for. */
import type { OpArgs } from '../../ops.ts';
import type { GpuKernel } from '../gpu-kernel.ts';
import type { BoundTensor } from '../gpu-memory.ts';
import { type OpContext, packParams } from '../op-context.ts';
import { bindVector, type WeightPart, weightParts } from '../weight-views.ts';
import { add } from './elementwise.ts';
import { roundToInt8 } from './int8-activations.ts';
import { JOINS } from './matmul-code.ts';
import { matmulMatrixCode } from './matmul-matrix-code.ts';
import { matmulTeamCode, TEAMS, teamTile } from './matmul-team-code.ts';
import { hasRoomForTile, matmulTileCode, TILE_SIZE } from './matmul-tile-code.ts';

const BINDINGS = ['uniform', 'read', 'read', 'read', 'read_write'] as const;

/** Kernels join their results with what lies in `out`: a residual that lies elsewhere is added afterwards. */
export function matmul(context: OpContext, { residual, ...layer }: OpArgs['matmul']): void {
  const { out } = layer;
  const isOut = residual?.buffer === out.buffer && residual.byteOffset === out.byteOffset;
  multiply(context, layer, isOut ? 'add' : 'none');
  if (residual !== undefined && !isOut) add(context, { a: residual, b: out, out });
}

/** The second product takes the first one's place. */
export function gatedMatmul(context: OpContext, args: OpArgs['gatedMatmul']): void {
  const { x, out, activation } = args;
  multiply(context, { x, weight: args.gateWeight, bias: args.gateBias, out }, 'none');
  const join = activation === 'silu' ? 'siluMul' : 'geluMul';
  multiply(context, { x, weight: args.upWeight, bias: args.upBias, out }, join);
}

function multiply(
  context: OpContext,
  { x, weight, bias, out }: Omit<OpArgs['matmul'], 'residual'>,
  join: keyof typeof JOINS,
): void {
  const { memory, recorder } = context;
  const [numTokens, rowLength] = x.shape as [number, number];
  const [input, output] = [memory.bind(x), memory.bind(out)];
  // Without a bias its binding holds something that is not read.
  const boundBias = bias === undefined ? input : bindVector(memory, bias);
  let levels: BoundTensor | undefined;
  for (const part of weightParts(memory, weight)) {
    const { kernel, rowsPerGroup, tokensPerGroup, wantsInt8 } = kernelFor(
      context,
      part,
      numTokens,
      input.wordOffset % 4 === 0,
    );
    if (wantsInt8) levels ??= roundToInt8(context, input, numTokens * (rowLength / 32));
    recorder.dispatch(kernel, {
      params: packParams([
        rowLength,
        Math.ceil(rowLength / 32),
        numTokens,
        part.numRows,
        part.rowInBuffer,
        part.wordOffset,
        part.scalesStart,
        input.wordOffset,
        bias === undefined ? 0 : 1,
        boundBias.wordOffset + part.firstRow,
        output.wordOffset + part.firstRow,
        weight.shape[0]!,
        JOINS[join],
      ]),
      storage: [part.slice, wantsInt8 ? levels! : input, boundBias, output],
      workgroups: [Math.ceil(part.numRows / rowsPerGroup), Math.ceil(numTokens / tokensPerGroup), 1],
    });
  }
}

interface ChosenKernel {
  readonly kernel: GpuKernel;
  readonly rowsPerGroup: number;
  readonly tokensPerGroup: number;
  /** The activations are those that `roundToInt8` leaves. */
  readonly wantsInt8: boolean;
}

/** Every variant is one more kernel to compile, so there are few. Rows that are not whole groups of 32, as only tiny models
 * have, are read element by element and a token at a time. */
function kernelFor(
  { abilities, library, workgroupBytes }: OpContext,
  part: WeightPart,
  numTokens: number,
  isAligned: boolean,
): ChosenKernel {
  const { format } = part;
  const hasGroups = part.hasGroups && isAligned;
  if (hasGroups && numTokens >= abilities.minTokensOfTile && hasRoomForTile(workgroupBytes)) {
    const { tileProducts } = abilities;
    const kind = typeof tileProducts === 'string' ? tileProducts : 'matrices';
    const kernel = library.get(`matmul ${format.name}, ${kind} tiles`, () => ({
      bindings: BINDINGS,
      code:
        typeof tileProducts === 'string'
          ? matmulTileCode({ format, hasGroups, workgroupBytes, products: tileProducts })
          : matmulMatrixCode({ format, hasGroups, unit: tileProducts }),
    }));
    return { kernel, rowsPerGroup: TILE_SIZE, tokensPerGroup: TILE_SIZE, wantsInt8: false };
  }
  const tile = hasGroups ? teamTile(part.numRows, numTokens) : { rows: 2, tokens: 1 };
  const wantsInt8 = hasGroups && abilities.matvecProducts === 'int8' && format.int8Code !== undefined;
  const activations = wantsInt8 ? 'int8' : 'f32';
  const label = `matmul ${format.name}, ${tile.rows} x ${tile.tokens}${hasGroups ? '' : ' by element'}, ${activations}`;
  const kernel = library.get(label, () => ({
    bindings: BINDINGS,
    code: matmulTeamCode({ format, hasGroups, activations, tile, shuffleSpan: abilities.shuffleSpan }),
  }));
  return { kernel, rowsPerGroup: TEAMS * tile.rows, tokensPerGroup: tile.tokens, wantsInt8 };
}
