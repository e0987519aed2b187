/** Opens a safetensors model: one file, or the shards that an index names. */
import { basename, dirname, join } from 'node:path';
import { FileAccessError } from '../../engine/errors.ts';
import { FileSet, type Shard } from '../file-set.ts';
import { formatFailure } from '../format-failure.ts';
import { describeFolder, listFolder } from '../list-folder.ts';
import type { StoredTensor, TensorFile } from '../tensor-file.ts';
import { readHeader } from './read-header.ts';
import { INDEX_NAME, readShardIndex, SINGLE_NAME } from './shard-index.ts';

export interface SafetensorsFile extends TensorFile, AsyncDisposable {
  /** `__metadata__` of the file; of a sharded model, the first shard's. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly shards: readonly Shard[];
  /** Bytes read from disk so far. */
  readonly numBytesRead: number;
}

interface Contents {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Reads headers; tensor data stays on disk until `read`.
 * @param path  a `.safetensors` file, an index (`model.safetensors.index.json`), or a folder that holds either
 * @throws FormatError for a damaged or hostile file or a folder without a model;
 *         FileAccessError when there is no such file or it may not be read. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const entries = await listFolder(path);
  const file = entries === undefined ? path : chooseFile(path, entries);
  const files = new FileSet();
  try {
    const contents = file.endsWith('.index.json') ? await openShards(files, file) : await openSingle(files, file);
    return new OpenedSafetensors(files, contents);
  } catch (error) {
    await files.close();
    throw error;
  }
}

class OpenedSafetensors implements SafetensorsFile {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly #files: FileSet;

  constructor(files: FileSet, contents: Contents) {
    this.metadata = contents.metadata;
    this.tensors = contents.tensors;
    this.#files = files;
  }

  get shards(): readonly Shard[] {
    return this.#files.shards;
  }

  get numBytesRead(): number {
    return this.#files.numBytesRead;
  }

  read(tensor: StoredTensor, byteOffset: number, target: Uint8Array): Promise<void> {
    return this.#files.read(tensor, byteOffset, target);
  }

  close(): Promise<void> {
    return this.#files.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function chooseFile(folder: string, entries: readonly string[]): string {
  for (const name of [SINGLE_NAME, INDEX_NAME]) if (entries.includes(name)) return join(folder, name);
  const where = { file: folder, byteOffset: 0, field: 'folder' };
  throw formatFailure(where, `must hold ${SINGLE_NAME} or ${INDEX_NAME}; it holds ${describeFolder(entries)}`);
}

async function openSingle(files: FileSet, path: string): Promise<Contents> {
  const { metadata, tensors } = await readHeader(await files.open(path));
  return { metadata, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) };
}

/** The index says where each tensor is; what a shard holds besides (left over from an older save) is ignored. */
async function openShards(files: FileSet, indexPath: string): Promise<Contents> {
  const weightMap = await readShardIndex(indexPath);
  const folder = dirname(indexPath);
  const tensors = new Map<string, StoredTensor>();
  let metadata: ReadonlyMap<string, string> | undefined;
  for (const fileName of [...new Set(weightMap.values())].toSorted()) {
    const header = await readShard(files, indexPath, join(folder, fileName));
    metadata ??= header.metadata;
    for (const tensor of header.tensors) {
      if (weightMap.get(tensor.name) === fileName) tensors.set(tensor.name, tensor);
    }
  }
  for (const [name, fileName] of weightMap) {
    if (tensors.has(name)) continue;
    const where = { file: indexPath, byteOffset: 0, field: `weight_map.${name}` };
    throw formatFailure(where, `${basename(fileName)} does not hold this tensor`);
  }
  return { metadata: metadata!, tensors };
}

async function readShard(files: FileSet, indexPath: string, path: string) {
  try {
    return await readHeader(await files.open(path));
  } catch (error) {
    if (!(error instanceof FileAccessError)) throw error;
    const where = { file: indexPath, byteOffset: 0, field: 'weight_map' };
    throw formatFailure(where, `a shard cannot be opened: ${error.message}`, { cause: error });
  }
}
