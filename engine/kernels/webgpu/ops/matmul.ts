/** matmul: 32 lanes share an output's sum, each taking every 32nd group of 32 products; a workgroup is several such teams,
 * and a team computes a tile of neighbouring rows of the weight and tokens.
 *
 *   row of weight   | group 0 | group 1 | ... | group 31 | group 32 | ...      K / 32 groups
 *   lane               0         1              31         0
 *
 * A thread unpacks its group of weights once and multiplies it with the same group of every token of the tile. The order
 * of an output's sum is the same in every variant: within a lane by group, then over the lanes, the same way each time. So a token's
 * bits do not depend on how many others are in the batch (law 2). */
import type { OpArgs } from '../../ops.ts';
import { type OpContext, packParams } from '../op-context.ts';
import { bindVector, type WeightPart, weightParts } from '../weight-views.ts';
import { type MatmulVariant, matmulCode, TEAMS, TILE_OF_MANY, TILE_OF_ONE } from './matmul-code.ts';

export function matmul(context: OpContext, { x, weight, bias, out }: OpArgs['matmul']): void {
  const { memory, recorder, library } = context;
  const [numTokens, rowLength] = x.shape as [number, number];
  const [input, output] = [memory.bind(x), memory.bind(out)];
  // Without a bias its binding holds something that is not read.
  const boundBias = bias === undefined ? input : bindVector(memory, bias);
  for (const part of weightParts(memory, weight)) {
    const variant = variantFor(context, part, { numTokens, xOffset: input.wordOffset });
    const { format, hasGroups, tile } = variant;
    const label = `matmul ${format.name}, ${tile.rows} x ${tile.tokens}${hasGroups ? '' : ' by element'}`;
    const kernel = library.get(label, () => ({
      bindings: ['uniform', 'read', 'read', 'read', 'read_write'],
      code: matmulCode(variant),
    }));
    const tilesOfRows = Math.ceil(part.numRows / (TEAMS * tile.rows));
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
      ]),
      storage: [part.slice, input, boundBias, output],
      workgroups: [tilesOfRows, Math.ceil(numTokens / tile.tokens), 1],
    });
  }
}

/** Every variant is one more kernel to compile, so there are few. Rows that are not whole groups of 32, as only tiny models
 * have, are read element by element and a token at a time. */
function variantFor(
  { hasSubgroups }: OpContext,
  { format, hasGroups }: WeightPart,
  { numTokens, xOffset }: { readonly numTokens: number; readonly xOffset: number },
): MatmulVariant {
  if (!hasGroups || xOffset % 4 !== 0) {
    return { format, hasGroups: false, tile: TILE_OF_ONE, hasSubgroups };
  }
  return { format, hasGroups, tile: numTokens === 1 ? TILE_OF_ONE : TILE_OF_MANY, hasSubgroups };
}
