/** Quantizes a model: any format in, one GGUF file of another format out. Streams: memory does not grow with the model. */
import { stat } from 'node:fs/promises';
import { writeGguf } from '../../formats/gguf/write-gguf.ts';
import type { TensorSource } from '../../formats/tensor-source.ts';
import { InvalidArgumentError } from '../errors.ts';
import type { LoadProgress } from '../loader/load-weights.ts';
import { type OpenedModel, openModel } from '../loader/open-model.ts';
import { byteLengthOf } from '../tensor/storage.ts';
import type { ConversionPlan, PlannedTensor } from './conversion-plan.ts';
import { type ConvertOptions, convertChunks, copyChunks } from './convert-tensor.ts';
import { planGguf } from './plan-gguf.ts';
import { planHuggingFace } from './plan-huggingface.ts';
import { findQuantizeTarget } from './quantize-target.ts';

export interface QuantizeOptions {
  /** A name from `QUANTIZE_TARGETS`. */
  readonly type: string;
  /** Every matrix in the target's format, without exceptions. Default false. */
  readonly pure?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the output, written and in all. */
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

export interface QuantizeResult {
  /** Bytes of tensor data. */
  readonly sourceBytes: number;
  readonly outputBytes: number;
  /** How many tensors have which format in the new file. */
  readonly tensorsByType: Readonly<Record<string, number>>;
  /** What a person should know. */
  readonly notes: readonly string[];
}

/** Writes `output` under a temporary name first: it is whole or not there.
 * @param input  a GGUF file (or any shard of one), or a Hugging Face folder
 * @throws InvalidArgumentError for an unknown type or an output that is the input; FormatError, UnsupportedError,
 *         FileAccessError for the input; AbortError by `signal` */
export async function quantizeModel(input: string, output: string, options: QuantizeOptions): Promise<QuantizeResult> {
  const target = findQuantizeTarget(options.type);
  const model = await openModel(input);
  try {
    await refuseSameFile(model, output);
    const plan =
      model.gguf === undefined
        ? await planHuggingFace(model, target, options.pure === true)
        : planGguf(model.gguf, target, options.pure === true);
    const outputBytes = totalBytes(plan);
    let loadedBytes = 0;
    const onBytes = (numBytes: number): void => {
      loadedBytes += numBytes;
      options.onProgress?.({ loadedBytes, totalBytes: outputBytes });
    };
    await writeGguf(output, {
      metadata: plan.metadata,
      tensors: tensorSources(model, plan, { signal: options.signal, onBytes }),
    });
    return {
      sourceBytes: plan.tensors.reduce((sum, { source }) => sum + source.byteLength, 0),
      outputBytes,
      tensorsByType: countTypes(plan),
      notes: plan.notes,
    };
  } finally {
    await model.close();
  }
}

async function refuseSameFile({ shards }: OpenedModel, output: string): Promise<void> {
  const there = await stat(output).catch(() => undefined);
  if (there === undefined) return;
  if (there.isDirectory()) throw new InvalidArgumentError('output', `${output} is a folder; give the name of a file`);
  for (const { path } of shards) {
    const { dev, ino } = await stat(path);
    if (dev === there.dev && ino === there.ino) {
      throw new InvalidArgumentError('output', `${output} is the input; give another name`);
    }
  }
}

function* tensorSources(model: OpenedModel, plan: ConversionPlan, options: ConvertOptions): Generator<TensorSource> {
  for (const { name, values } of plan.derived) {
    yield { name, dtype: 'f32', shape: [values.length], data: () => derivedBytes(values) };
  }
  for (const tensor of plan.tensors) {
    const { name, source, dtype, rowOrder } = tensor;
    yield {
      name,
      dtype: dtype ?? source.dtype,
      shape: source.shape,
      data: () =>
        dtype === undefined
          ? copyChunks(model.file, source, options)
          : convertChunks(model.file, source, dtype, { ...options, rowOrder }),
    };
  }
}

/** Little-endian whatever the machine. */
function derivedBytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.byteLength);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    view.setFloat32(i * 4, value, true);
  });
  return bytes;
}

function outputBytesOf({ source, dtype }: PlannedTensor): number {
  return dtype === undefined ? source.byteLength : byteLengthOf(dtype, source.shape);
}

function totalBytes({ tensors }: ConversionPlan): number {
  return tensors.reduce((sum, tensor) => sum + outputBytesOf(tensor), 0);
}

function countTypes({ tensors, derived }: ConversionPlan): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const dtype of [...derived.map(() => 'f32'), ...tensors.map(({ dtype, source }) => dtype ?? source.dtype)]) {
    counts[dtype] = (counts[dtype] ?? 0) + 1;
  }
  return counts;
}
