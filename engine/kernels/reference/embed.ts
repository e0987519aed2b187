/** Token ids to vectors: row `tokenIds[t]` of the embedding table, dequantized. */
import { checkIndices } from '../check-indices.ts';
import type { EmbedArgs } from '../ops.ts';
import { type Part, partEnd, partStart, WHOLE } from '../part.ts';
import { FormattedView, floatsOf, intsOf } from './host-memory.ts';

/** A part is a range of tokens. Numerics: as the weight's format dequantizes; no arithmetic here.
 * @throws InvalidArgumentError for a token id outside the vocabulary. */
export function embed(args: EmbedArgs, part: Part = WHOLE): void {
  const [vocabSize, hiddenSize] = args.weight.shape as [number, number];
  const tokenIds = intsOf(args.tokenIds);
  const out = floatsOf(args.out);
  const weight = new FormattedView(args.weight);
  checkIndices('embed tokenIds', tokenIds, vocabSize);

  const end = partEnd(tokenIds.length, part);
  for (let t = partStart(tokenIds.length, part); t < end; t++) {
    weight.read(tokenIds[t]! * hiddenSize, hiddenSize, out, t * hiddenSize);
  }
}
