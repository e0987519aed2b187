/** The last layer works for the rows that somebody looks at. A row's keys and values are for other rows to see; what the
 * attention and the MLP make of it afterwards is seen by the next layer alone, and after the last there is none. So once
 * the last layer's keys and values are stored, a prompt of 500 tokens goes on as one row. */
import type { Tensor } from '../tensor/tensor.ts';
import type { Activations, ForwardContext } from './model-family.ts';

/** The residual stream and the attention's result of `inputs.outputRows` alone, in buffers that are free between the
 * attention and the output projection; activations cut to as many rows. With all rows wanted, what there is. */
export function keepOutputRows({ ops, inputs, activations }: ForwardContext): Activations {
  const { outputRows: rows } = inputs;
  const { hidden, normed, query, attention, gated } = activations;
  const numRows = rows.numElements;
  // Rows are different and in ascending order: so many can only be all.
  if (numRows === hidden.shape[0]) return activations;
  const cut = (tensor: Tensor): Tensor => tensor.slice(0, numRows);
  const kept = { hidden: cut(normed), attention: cut(query) };
  ops.gatherRows({ x: hidden, rows, out: kept.hidden });
  ops.gatherRows({ x: attention, rows, out: kept.attention });
  return { ...activations, ...kept, normed: cut(hidden), query: cut(attention), gated: cut(gated) };
}
