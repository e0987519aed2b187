/** One random call of one op: data and the way to run it. It runs on any backend and gives the same values on all that
 * are right. */
import fc from 'fast-check';
import type { OpName } from '../../engine/kernels/ops.ts';
import type { DType } from '../../engine/tensor/dtype.ts';
import type { Workspace } from './workspace.ts';

export interface ConformanceCase {
  readonly op: OpName;
  /** The dtype that a tolerance or a skip may depend on: the weight's, or the KV cache's. */
  readonly dtype: DType;
  /** The size that outputs of this kind usually have, where few of them may all happen to be near 0. Absent: 0. */
  readonly magnitude?: number;
  /** The case in a line, printed when it fails. */
  readonly label: string;
  run(work: Workspace): Promise<Float32Array>;
}

/** An op's cases from random parameters, of which `dtype` (f32 without) and `magnitude` (0 without) matter to tolerances. */
export function casesOf<P extends object>(
  op: OpName,
  parameters: fc.Arbitrary<P>,
  run: (work: Workspace, parameters: P) => Promise<Float32Array>,
): fc.Arbitrary<ConformanceCase> {
  return parameters.map((p) => ({
    op,
    dtype: 'dtype' in p ? (p.dtype as DType) : 'f32',
    magnitude: 'magnitude' in p ? (p.magnitude as number) : 0,
    label: JSON.stringify(p),
    run: (work) => run(work, p),
    [fc.toStringMethod]: () => `${op} ${JSON.stringify(p)}`,
  }));
}
