/** Loads gpu.js when it is first needed and uses it as a compiler only: JavaScript in, WGSL out. Nothing of it runs on a
 * GPU; devices, buffers and commands are ours. Knows nothing of what we then do with the WGSL.
 *
 * This leans on the inside of the package: the class `WebGPUKernel` and the steps of its `build()` up to the point where
 * it would ask for a device. So exactly one version will do. */
import { createRequire } from 'node:module';
import { InvalidArgumentError, QuernError, UnsupportedError } from '../../errors.ts';
import { isScalar, type KernelSource } from './kernel-source.ts';
import { MAX_EXACT_INTEGER } from './limits.ts';

/** The version that the rest of this folder was written for. */
export const GPUJS_VERSION = '2.24.1';

/** What a kernel became. */
export interface Translation {
  readonly wgsl: string;
  /** As gpu.js read them from the function's source. */
  readonly parameterNames: readonly string[];
}

export interface GpujsCompiler {
  /** @throws InvalidArgumentError for a function outside of the language that gpu.js compiles */
  translate(source: KernelSource): Translation;
}

/** The part of gpu.js's `WebGPUKernel` that we drive. */
interface WebGpuKernel {
  argumentTypes: readonly string[];
  readonly argumentNames: readonly string[];
  threadDim: readonly number[];
  paramsLayout: unknown;
  setupConstants(): void;
  setupArguments(values: readonly unknown[]): void;
  validateSettings(values: readonly unknown[]): void;
  translateSource(): void;
  computeParamsLayout(): unknown;
  assembleWGSL(): string;
}

type WebGpuKernelClass = new (source: string, settings: object) => WebGpuKernel;

/** The installed package. */
export interface GpujsPackage {
  readonly version: string;
  readonly WebGPUKernel: WebGpuKernelClass;
}

/** @throws UnsupportedError when gpu.js is not installed, or in another version */
export async function loadGpujs(importPackage: () => Promise<GpujsPackage> = importGpujs): Promise<GpujsCompiler> {
  let found: GpujsPackage;
  try {
    found = await importPackage();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0]! : String(cause);
    const isMissing = /Cannot find (package|module)/.test(reason);
    const problem = isMissing
      ? `the optional package 'gpu.js' is not installed (npm install gpu.js@${GPUJS_VERSION})`
      : `gpu.js ${GPUJS_VERSION} cannot be loaded: ${reason}`;
    throw new UnsupportedError('backend gpujs', problem);
  }
  if (found.version !== GPUJS_VERSION) {
    const rule = `it needs gpu.js ${GPUJS_VERSION} exactly, found ${found.version}`;
    throw new UnsupportedError('backend gpujs', rule, { version: found.version });
  }
  return { translate: (source) => translate(found.WebGPUKernel, source) };
}

async function importGpujs(): Promise<GpujsPackage> {
  const { version } = createRequire(import.meta.url)('gpu.js/package.json') as { readonly version: string };
  const { WebGPUKernel } = (await import('gpu.js')) as unknown as { readonly WebGPUKernel: WebGpuKernelClass };
  return { version, WebGPUKernel };
}

/** The steps of `WebGPUKernel.build` that need no device. */
function translate(Kernel: WebGpuKernelClass, { kernel, parameters, helpers = [] }: KernelSource): Translation {
  const kinds = Object.values(parameters);
  try {
    const compiler = new Kernel(kernel.toString(), {
      functions: helpers,
      output: [1, 1, 1],
      dynamicOutput: true,
      loopMaxIterations: MAX_EXACT_INTEGER,
    });
    compiler.argumentTypes = kinds.map((kind) =>
      isScalar(kind) ? (kind === 'integer' ? 'Integer' : 'Float') : 'WebGPUBuffer',
    );
    // Stand-ins: with the types given, gpu.js only asks whether a value is one of its own `Input`s.
    const values = kinds.map((kind) => (isScalar(kind) ? 1 : {}));
    compiler.setupConstants();
    compiler.setupArguments(values);
    compiler.validateSettings(values);
    compiler.threadDim = [1, 1, 1];
    compiler.translateSource();
    compiler.paramsLayout = compiler.computeParamsLayout();
    return { wgsl: compiler.assembleWGSL(), parameterNames: compiler.argumentNames };
  } catch (error) {
    if (error instanceof QuernError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new InvalidArgumentError(`kernel ${kernel.name}`, `gpu.js cannot compile it: ${reason}`);
  }
}
