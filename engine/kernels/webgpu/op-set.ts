/** The kernels behind a GPU backend: everything in which the hand-written WGSL of `webgpu/` and the compiled functions of
 * `gpujs/` differ. Device, memory and recording are the same for both. */
import type { FloatDType } from '../../tensor/dtype.ts';
import type { OpArgs, OpName } from '../ops.ts';
import type { OpContext } from './op-context.ts';
import type { WeightFormat } from './weight-formats/index.ts';

export interface GpuOpSet {
  /** The backend's name. */
  readonly owner: string;
  /** How a matrix of that dtype is laid out when it is loaded. */
  matrixFormat(dtype: FloatDType): WeightFormat;
  /** `true`, or why these kernels cannot run the op on these arguments. */
  supports<Name extends OpName>(op: Name, args: OpArgs[Name]): true | string;
  /** Records an op whose arguments passed `checkArgs` and belong to the backend. */
  run<Name extends OpName>(context: OpContext, op: Name, args: OpArgs[Name]): void;
}
