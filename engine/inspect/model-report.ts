/** Everything that a model file says about itself, as plain data. Reads headers only. What cannot be had (an unknown
 * architecture, no tokenizer) is a sentence in its place: a strange file is the one that needs inspecting. */
import { detectModel } from '../../formats/detect.ts';
import type { GgufFile } from '../../formats/gguf/open-gguf.ts';
import { readHfConfig } from '../../formats/hf/hf-config.ts';
import { openSafetensors, type SafetensorsFile } from '../../formats/safetensors/open-safetensors.ts';
import type { StoredTensor } from '../../formats/tensor-file.ts';
import { QuernError } from '../errors.ts';
import { openModel } from '../loader/open-model.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { numElements, type Shape } from '../tensor/shape.ts';
import { ggufEntry, jsonEntry, type MetadataEntry } from './metadata-entry.ts';
import { type TokenizerFacts, tokenizerFacts } from './tokenizer-facts.ts';

export interface ModelReport {
  readonly path: string;
  /** `GGUF v3`, `Hugging Face folder`, `safetensors`. */
  readonly format: string;
  readonly files: readonly { readonly path: string; readonly numBytes: number }[];
  readonly metadata: readonly MetadataEntry[];
  readonly hyperparameters: ModelConfig | Unavailable;
  readonly tokenizer: TokenizerFacts | Unavailable;
  readonly tensors: readonly TensorReport[];
  readonly types: readonly TypeReport[];
  readonly numParameters: number;
  /** Of all tensors as stored. */
  readonly numTensorBytes: number;
}

export interface Unavailable {
  readonly unavailable: string;
}

export interface TensorReport {
  readonly name: string;
  readonly type: string;
  readonly shape: Shape;
  readonly numBytes: number;
  readonly file: string;
  readonly byteOffset: number;
}

export interface TypeReport {
  readonly type: string;
  readonly numTensors: number;
  readonly numParameters: number;
  readonly numBytes: number;
}

export interface InspectOptions {
  /** Whole arrays and texts. Default false: their beginnings. */
  readonly full?: boolean | undefined;
}

export function isUnavailable<T extends object>(part: T | Unavailable): part is Unavailable {
  return 'unavailable' in part;
}

/** @param path  a GGUF file (or any shard of one), a Hugging Face folder, or safetensors without a `config.json`
 * @throws FormatError when the file cannot be read at all, FileAccessError */
export async function inspectModel(path: string, { full = false }: InspectOptions = {}): Promise<ModelReport> {
  const { kind } = await detectModel(path);
  return kind === 'safetensors' ? inspectSafetensors(path) : inspectOpened(path, full);
}

async function inspectOpened(path: string, isFull: boolean): Promise<ModelReport> {
  const model = await openModel(path);
  try {
    const metadata =
      model.gguf === undefined ? await folderMetadata(path, model.file, isFull) : ggufMetadata(model.gguf, isFull);
    return {
      path,
      format: model.gguf === undefined ? 'Hugging Face folder' : `GGUF v${model.gguf.version}`,
      files: model.shards.map((shard) => ({ path: shard.path, numBytes: shard.byteLength })),
      metadata,
      hyperparameters: await attempt(() => model.readConfig()),
      tokenizer: await attempt(async () => tokenizerFacts(await model.readTokenizer())),
      ...tensorReports([...model.file.tensors.values()]),
    };
  } finally {
    await model.close();
  }
}

async function inspectSafetensors(path: string): Promise<ModelReport> {
  await using file = await openSafetensors(path);
  const missing: Unavailable = { unavailable: 'there is no config.json beside the weights' };
  return {
    path,
    format: 'safetensors',
    files: file.shards.map((shard) => ({ path: shard.path, numBytes: shard.byteLength })),
    metadata: [...file.metadata].map(([key, value]) => jsonEntry(key, value, false)),
    hyperparameters: missing,
    tokenizer: missing,
    ...tensorReports([...file.tensors.values()]),
  };
}

function ggufMetadata(file: GgufFile, isFull: boolean): MetadataEntry[] {
  return [...file.metadata].map(([key, value]) => ggufEntry(key, value, isFull));
}

async function folderMetadata(folder: string, file: unknown, isFull: boolean): Promise<MetadataEntry[]> {
  const { raw } = await readHfConfig(folder);
  const stated = (file as SafetensorsFile).metadata;
  return [
    ...Object.entries(raw).map(([key, value]) => jsonEntry(key, value, isFull)),
    ...[...stated].map(([key, value]) => jsonEntry(`__metadata__.${key}`, value, isFull)),
  ];
}

async function attempt<T extends object>(read: () => Promise<T>): Promise<T | Unavailable> {
  try {
    return await read();
  } catch (error) {
    if (QuernError.isInstance(error)) return { unavailable: error.message };
    throw error;
  }
}

function tensorReports(
  stored: readonly StoredTensor[],
): Pick<ModelReport, 'tensors' | 'types' | 'numParameters' | 'numTensorBytes'> {
  const types = new Map<string, TypeReport>();
  let numParameters = 0;
  let numTensorBytes = 0;
  for (const { dtype, shape, byteLength } of stored) {
    const count = numElements(shape);
    const before = types.get(dtype) ?? { type: dtype, numTensors: 0, numParameters: 0, numBytes: 0 };
    types.set(dtype, {
      type: dtype,
      numTensors: before.numTensors + 1,
      numParameters: before.numParameters + count,
      numBytes: before.numBytes + byteLength,
    });
    numParameters += count;
    numTensorBytes += byteLength;
  }
  const tensors = stored.map(({ name, dtype, shape, byteLength, file, byteOffset }): TensorReport => {
    return { name, type: dtype, shape, numBytes: byteLength, file, byteOffset };
  });
  const byBytes = [...types.values()].toSorted((a, b) => b.numBytes - a.numBytes);
  return { tensors, types: byBytes, numParameters, numTensorBytes };
}
