/** The gpujs backend: ops as TypeScript functions that gpu.js compiles, on the device, memory and recorder of the webgpu
 * backend. Slower than hand-written WGSL, and readable. See docs/gpujs.md. */
import { QuernError, UnsupportedError } from '../../errors.ts';
import { supportsWhatFits } from '../check-memory.ts';
import { findAdapter } from '../webgpu/gpu-adapter.ts';
import { GpuDevice } from '../webgpu/gpu-device.ts';
import type { OpContext } from '../webgpu/op-context.ts';
import type { GpuOpSet } from '../webgpu/op-set.ts';
import { WebGpuBackend, type WebGpuBackendOptions } from '../webgpu/webgpu-backend.ts';
import { GpuOpTarget } from './gpu-op-target.ts';
import { KernelCompiler } from './kernel-compiler.ts';
import { type GpujsCompiler, loadGpujs } from './load-gpujs.ts';
import { checkSupport, runOp } from './ops/index.ts';
import { storedLayout } from './stored-formats.ts';

export const GPUJS_OWNER = 'gpujs';

/** @throws UnsupportedError where there is no GPU or no gpu.js, DeviceError when the GPU's driver refuses */
export async function createGpujsBackend(options: WebGpuBackendOptions = {}): Promise<WebGpuBackend> {
  const gpujs = await loadGpujs();
  const found = await findAdapter();
  if (typeof found === 'string') throw new UnsupportedError(`backend ${GPUJS_OWNER}`, found);
  return new WebGpuBackend(await GpuDevice.open(found.gpu, found.adapter), options, gpujsOpSet(gpujs));
}

/** The kernels, compiled when they are first needed. One for each backend. */
export function gpujsOpSet(gpujs: GpujsCompiler): GpuOpSet {
  const compiler = new KernelCompiler(gpujs);
  let target: GpuOpTarget | undefined;
  const targetOf = (context: OpContext): GpuOpTarget => {
    target ??= new GpuOpTarget(context, compiler);
    return target;
  };
  return {
    owner: GPUJS_OWNER,
    matrixFormat: storedLayout,
    supports(op, args) {
      const answer = supportsWhatFits(op, args);
      if (answer !== true) return answer;
      try {
        checkSupport(op, args);
        return true;
      } catch (error) {
        if (error instanceof QuernError) return error.message;
        throw error;
      }
    },
    run: (context, op, args) => runOp(targetOf(context), op, args),
  };
}
