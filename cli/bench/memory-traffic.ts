/** How much of a GPU's memory bandwidth a test uses: what a step must read at least, beside what the same device copies. */
import type { ModelReport } from '../../engine/inspect/model-report.ts';
import { bytesPerKvBlock, type KvDType } from '../../engine/kvcache/kv-cache-storage.ts';
import type { ModelConfig } from '../../engine/model/model-config.ts';
import type { BenchTest } from './bench-test.ts';

const EMBEDDING = /(^|\.)(token_embd|embed_tokens)\.weight$/;
const HEAD = /(^|\.)(output|lm_head)\.weight$/;

/** Software that plays a GPU takes long for more, and has caches like any program. */
const SOFTWARE_COPY_BYTES = 16 * 1024 * 1024;

/** Bytes that a step of generation reads: every weight once, and the keys and values of every sequence, half of what the test
 * adds among them. Of an embedding that is not the output matrix too, a few rows: they are not counted. */
export function bytesPerStep(
  { tensors, numTensorBytes }: Pick<ModelReport, 'tensors' | 'numTensorBytes'>,
  { numLayers, numKvHeads, headDim }: ModelConfig,
  { test, kvDtype }: { readonly test: BenchTest; readonly kvDtype: KvDType },
): number {
  const hasHead = tensors.some(({ name }) => HEAD.test(name));
  const embedding = hasHead ? tensors.find(({ name }) => EMBEDDING.test(name)) : undefined;
  const bytesPerToken = bytesPerKvBlock({ dtype: kvDtype, numLayers, numKvHeads, blockSize: 1, headDim });
  const numCached = test.batch * (test.depth + test.numTokens / 2);
  return numTensorBytes - (embedding?.numBytes ?? 0) + numCached * bytesPerToken;
}

export interface DeviceFacts {
  readonly device: string;
  /** Bytes per second that it copies, read and written both counted. */
  readonly copyBandwidth: number;
}

/** About the GPU behind `backend`; `undefined` where there is none. */
export async function deviceFacts(backend: string): Promise<DeviceFacts | undefined> {
  if (backend !== 'webgpu' && backend !== 'gpujs') return undefined;
  const [{ findAdapter }, { GpuDevice }, { measureCopyBandwidth }] = await Promise.all([
    import('../../engine/kernels/webgpu/gpu-adapter.ts'),
    import('../../engine/kernels/webgpu/gpu-device.ts'),
    import('../../engine/kernels/webgpu/copy-bandwidth.ts'),
  ]);
  const found = await findAdapter();
  if (typeof found === 'string') return undefined;
  const gpu = await GpuDevice.open(found.gpu, found.adapter);
  try {
    const { name: device, isSoftware } = gpu.adapter;
    return { device, copyBandwidth: await measureCopyBandwidth(gpu, isSoftware ? SOFTWARE_COPY_BYTES : undefined) };
  } finally {
    await gpu.close();
  }
}
