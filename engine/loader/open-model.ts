/** Opens a model of any format and offers its parts under one set of names: hyperparameters, weights, tokenizer. Reads
 * headers only; nothing is loaded yet. */
import { dirname } from 'node:path';
import { detectModel } from '../../formats/detect.ts';
import { type GgufFile, openGguf } from '../../formats/gguf/open-gguf.ts';
import { readHfConfig } from '../../formats/hf/hf-config.ts';
import { openSafetensors, type SafetensorsFile } from '../../formats/safetensors/open-safetensors.ts';
import type { TensorFile } from '../../formats/tensor-file.ts';
import { UnsupportedError } from '../errors.ts';
import type { ModelConfig } from '../model/model-config.ts';
import { dequantize } from '../tensor/quant/codec.ts';
import type { Tokenizer } from '../tokenizer/index.ts';
import { readGgufConfig } from './gguf-config.ts';
import { readHfModelConfig } from './hf-model-config.ts';
import { readFolderTokenizer, readGgufTokenizer } from './load-tokenizer.ts';
import { GGUF_NAMES, HF_NAMES, type NameScheme } from './weight-names.ts';

export interface OpenedModel {
  readonly path: string;
  readonly format: 'gguf' | 'safetensors';
  readonly file: TensorFile;
  readonly names: NameScheme;
  /** The files that make up the model, in order, with their sizes in bytes. */
  readonly shards: readonly { readonly path: string; readonly byteLength: number }[];
  /** Roles that the file may hold but the model does not use. */
  readonly ignoredRoles: ReadonlySet<string>;
  /** Roles that the file must hold although the family allows them to be missing. */
  readonly requiredRoles: ReadonlySet<string>;
  readonly gguf: GgufFile | undefined;
  /** @throws FormatError, UnsupportedError */
  readConfig(): Promise<ModelConfig>;
  /** @throws FormatError, UnsupportedError, FileAccessError when there is no tokenizer */
  readTokenizer(): Promise<Tokenizer>;
  close(): Promise<void>;
}

const NO_ROLES: ReadonlySet<string> = new Set();

/** @param path  a GGUF file (or any shard of one), or a Hugging Face model folder
 * @throws FileAccessError, FormatError, UnsupportedError */
export async function openModel(path: string): Promise<OpenedModel> {
  const { kind } = await detectModel(path);
  if (kind === 'gguf') return openGgufModel(path);
  if (kind === 'hf-folder') return openHfModel(path);
  throw new UnsupportedError(
    `${path}: a safetensors file alone`,
    `its config.json is needed too; give the folder that holds both${path.endsWith('.safetensors') ? ` (${dirname(path)})` : ''}`,
  );
}

async function openGgufModel(path: string): Promise<OpenedModel> {
  const file = await openGguf(path);
  return {
    path,
    format: 'gguf',
    file,
    names: GGUF_NAMES,
    shards: file.shards,
    ignoredRoles: NO_ROLES,
    requiredRoles: NO_ROLES,
    gguf: file,
    readConfig: async () => readGgufConfig(file, path, await readRopeFactors(file)),
    readTokenizer: async () => readGgufTokenizer(file, path),
    close: () => file.close(),
  };
}

/** A file's rope factors are as many as half a head's dimensions: a few hundred bytes. */
const MAX_ROPE_FACTORS = 2 ** 16;

async function readRopeFactors(file: GgufFile): Promise<readonly number[] | undefined> {
  const stored = file.tensors.get(GGUF_NAMES.ropeFactors!);
  if (stored === undefined) return undefined;
  const count = stored.shape.reduce((product, size) => product * size, 1);
  if (stored.dtype !== 'f32' || count > MAX_ROPE_FACTORS) {
    throw new UnsupportedError(
      `${stored.file}: ${stored.name} of ${count} ${stored.dtype} values`,
      'expected few f32 values',
    );
  }
  const bytes = new Uint8Array(stored.byteLength);
  await file.read(stored, 0, bytes);
  return [...dequantize(stored.dtype, bytes, count)];
}

async function openHfModel(folder: string): Promise<OpenedModel> {
  const hf = await readHfConfig(folder);
  const file: SafetensorsFile = await openSafetensors(folder);
  const tied = hf.tieWordEmbeddings === true;
  return {
    path: folder,
    format: 'safetensors',
    file,
    names: HF_NAMES,
    shards: file.shards,
    // Some exporters write the tied output projection a second time.
    ignoredRoles: tied ? new Set(['lmHead']) : NO_ROLES,
    requiredRoles: tied ? NO_ROLES : new Set(['lmHead']),
    gguf: undefined,
    readConfig: async () => readHfModelConfig(hf),
    readTokenizer: () => readFolderTokenizer(folder),
    close: () => file.close(),
  };
}
