/** Compiles kernels once and keeps them: function in, `GpuKernel` out. No device is needed until it runs. */
import type { GpuKernel } from '../webgpu/gpu-kernel.ts';
import { checkSource } from './check-source.ts';
import type { KernelSource } from './kernel-source.ts';
import type { GpujsCompiler } from './load-gpujs.ts';
import { rewriteWgsl } from './rewrite-wgsl.ts';

export class KernelCompiler {
  readonly #gpujs: GpujsCompiler;
  readonly #kernels = new Map<KernelSource, Map<string, GpuKernel>>();

  constructor(gpujs: GpujsCompiler) {
    this.#gpujs = gpujs;
  }

  /** The kernel, compiled: some milliseconds the first time.
   * @param inPlace  names of parameters that share the result's buffer, which makes another kernel of it
   * @throws InvalidArgumentError, UnsupportedError; see `checkSource` and `rewriteWgsl` */
  kernelOf(source: KernelSource, inPlace: readonly string[] = []): GpuKernel {
    let variants = this.#kernels.get(source);
    if (variants === undefined) {
      variants = new Map();
      this.#kernels.set(source, variants);
    }
    const key = inPlace.join();
    let compiled = variants.get(key);
    if (compiled === undefined) {
      compiled = compileKernel(this.#gpujs, source, inPlace);
      variants.set(key, compiled);
    }
    return compiled;
  }
}

/** Compiles one kernel.
 * @throws as `KernelCompiler.kernelOf` */
export function compileKernel(gpujs: GpujsCompiler, source: KernelSource, inPlace: readonly string[] = []): GpuKernel {
  checkSource(source);
  const { code, bindings } = rewriteWgsl(gpujs.translate(source), source, new Set(inPlace));
  const { name } = source.kernel;
  const kinds = Object.values(source.parameters).join(' ');
  const result = source.resultElement === undefined ? '' : ` to ${source.resultElement}`;
  const label = `gpujs ${name} (${kinds})${result}${inPlace.length === 0 ? '' : ` in place of ${inPlace}`}`;
  return { label, code, entryPoint: 'main', bindings };
}
