/** embed and gatherRows: rows picked by number. */
import { checkIndices } from '../../check-indices.ts';
import type { EmbedArgs, GatherRowsArgs } from '../../ops.ts';
import { EMBED } from '../kernels/embed.ts';
import { GATHER_ROWS } from '../kernels/gather-rows.ts';
import { checkInts, type OpTarget } from './op-target.ts';
import { weightInputs } from './weight-inputs.ts';

export function embed(target: OpTarget, { tokenIds, weight, out }: EmbedArgs): void {
  const [vocabSize, hiddenSize] = weight.shape as [number, number];
  const [numTokens] = tokenIds.shape as [number];
  checkInts(target, tokenIds, (ints) => checkIndices('embed tokenIds', ints, vocabSize));
  const { format, parts } = target.weight(weight);
  const source = EMBED[format];
  for (const part of parts) {
    target.run(source, {
      inputs: {
        ...weightInputs(source, part, ['tokenIds']),
        tokenIds: target.view(tokenIds, [numTokens]),
        firstRow: part.firstRow,
        numRows: part.numRows,
      },
      out: target.view(out, [numTokens, hiddenSize]),
      threads: [hiddenSize, numTokens],
    });
  }
}

export function gatherRows(target: OpTarget, { x, rows, out }: GatherRowsArgs): void {
  const [numTokens, hiddenSize] = x.shape as [number, number];
  const [numRows] = rows.shape as [number];
  checkInts(target, rows, (ints) => checkIndices('gatherRows rows', ints, numTokens));
  target.run(GATHER_ROWS, {
    inputs: { x: target.view(x, [numTokens, hiddenSize]), rows: target.view(rows, [numRows]) },
    out: target.view(out, [numRows, hiddenSize]),
    threads: [hiddenSize, numRows],
  });
}
