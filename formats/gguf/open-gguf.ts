/** Opens a GGUF model: one file, or all shards of a split one. Owns the agreement between shards. */
import { FileAccessError } from '../../engine/errors.ts';
import { FileSet, type Shard } from '../file-set.ts';
import { formatFailure } from '../format-failure.ts';
import type { StoredTensor, TensorFile } from '../tensor-file.ts';
import { GgufFields } from './gguf-fields.ts';
import type { GgufMetadata } from './gguf-value.ts';
import { type GgufHeader, readHeader } from './read-header.ts';
import { formatSplitName, parseSplitName } from './split-name.ts';

export interface GgufFile extends TensorFile, AsyncDisposable {
  /** 2 or 3. */
  readonly version: number;
  /** Every key with its type. Of a split model, the first shard's. Strings that are not UTF-8 hold U+FFFD. */
  readonly metadata: GgufMetadata;
  /** The same by wanted type, with errors that say where. */
  readonly fields: GgufFields;
  /** Bytes. Of a split model, the first shard's. */
  readonly alignment: number;
  /** The file, or the shards in order. */
  readonly shards: readonly Shard[];
  /** Bytes read from disk so far. */
  readonly numBytesRead: number;
}

interface OpenedShard {
  readonly path: string;
  readonly header: GgufHeader;
  readonly fields: GgufFields;
}

/** Reads the header; tensor data stays on disk until `read`.
 * @param path  the file, or any one shard of a split model (`NAME-00002-of-00003.gguf` opens all three)
 * @throws FormatError for a damaged or hostile file, a folder, an empty file;
 *         FileAccessError when there is no such file or it may not be read. */
export async function openGguf(path: string): Promise<GgufFile> {
  const files = new FileSet();
  try {
    const given = await openShard(files, path);
    const shards = given.fields.uint('split.count', 1) > 1 ? await openShards(files, given) : [given];
    return new OpenedGguf(files, shards);
  } catch (error) {
    await files.close();
    throw error;
  }
}

class OpenedGguf implements GgufFile {
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly fields: GgufFields;
  readonly alignment: number;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly shards: readonly Shard[];
  readonly #files: FileSet;

  constructor(files: FileSet, shards: readonly OpenedShard[]) {
    const { header, fields } = shards[0]!;
    this.version = header.version;
    this.metadata = header.metadata;
    this.fields = fields;
    this.alignment = header.alignment;
    this.tensors = mergeTensors(shards);
    this.shards = shards.map(({ path }) => files.shards.find((shard) => shard.path === path)!);
    this.#files = files;
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

async function openShard(files: FileSet, path: string): Promise<OpenedShard> {
  const header = await readHeader(await files.open(path));
  return { path, header, fields: new GgufFields(path, header.metadata, header.offsets) };
}

/** All shards in order, `given` among them. Each must have the place that its name and its own metadata say. */
async function openShards(files: FileSet, given: OpenedShard): Promise<OpenedShard[]> {
  const count = given.fields.uint('split.count');
  const name = parseSplitName(given.path);
  if (name === undefined || name.count !== count) {
    const number = String(count).padStart(5, '0');
    throw given.fields.fail('split.count', `one of ${count} shards, so its name must end in -00001-of-${number}.gguf`);
  }
  const shards: OpenedShard[] = [];
  for (let index = 0; index < count; index++) {
    const shard = index === name.index ? given : await openSibling(files, given, formatSplitName({ ...name, index }));
    checkPlace(shard, index, count);
    shards.push(shard);
  }
  return shards;
}

async function openSibling(files: FileSet, given: OpenedShard, path: string): Promise<OpenedShard> {
  try {
    return await openShard(files, path);
  } catch (error) {
    if (!(error instanceof FileAccessError)) throw error;
    throw given.fields.fail('split.count', `the model is split, and a shard cannot be opened: ${error.message}`);
  }
}

function checkPlace(shard: OpenedShard, index: number, count: number): void {
  const actualCount = shard.fields.uint('split.count');
  if (actualCount !== count) {
    throw shard.fields.fail('split.count', `says ${actualCount} shards, but the others say ${count}`);
  }
  const actualIndex = shard.fields.uint('split.no');
  if (actualIndex !== index) {
    throw shard.fields.fail('split.no', `says ${actualIndex}, but by its name this is shard ${index} (counted from 0)`);
  }
}

function mergeTensors(shards: readonly OpenedShard[]): ReadonlyMap<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const { path, header } of shards) {
    for (const tensor of header.tensors) {
      const other = tensors.get(tensor.name);
      if (other !== undefined) {
        const where = { file: path, byteOffset: 0, field: `tensor ${tensor.name}` };
        throw formatFailure(where, `the same tensor is also in ${other.file}`);
      }
      tensors.set(tensor.name, tensor);
    }
  }
  for (const { fields } of shards) {
    const expected = fields.uint('split.tensors.count', tensors.size);
    if (expected !== tensors.size) {
      throw fields.fail('split.tensors.count', `says ${expected} tensors, but the shards hold ${tensors.size}`);
    }
  }
  return tensors;
}
