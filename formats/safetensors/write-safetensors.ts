/** Writes safetensors files, single and sharded. Holds the header and one chunk of data in memory, never a model.
 * `read-header.ts` and `shard-index.ts` draw the layouts. */
import { join } from 'node:path';
import { InvalidArgumentError } from '../../engine/errors.ts';
import { numElements } from '../../engine/tensor/shape.ts';
import { type AtomicFileWriter, writeAtomically } from '../atomic-file-writer.ts';
import { checkText, chunksOf, collectSources, type TensorSource, type TensorSources } from '../tensor-source.ts';
import { bitsPerElement, fromDtype } from './safetensors-dtype.ts';
import { INDEX_NAME, SINGLE_NAME } from './shard-index.ts';

export interface SafetensorsContents {
  readonly tensors: TensorSources;
  /** `__metadata__`: free text by key. Default: `format` is `pt`, which other readers look for. */
  readonly metadata?: ReadonlyMap<string, string>;
}

export interface ShardedContents extends SafetensorsContents {
  /** Most bytes of tensor data per file; a single tensor larger than this has a file of its own. At least 1. */
  readonly maxShardBytes: number;
}

interface PlannedTensor {
  readonly source: TensorSource;
  readonly dtypeName: string;
  readonly bits: number;
  readonly byteLength: number;
}

const DEFAULT_METADATA: ReadonlyMap<string, string> = new Map([['format', 'pt']]);
/** The data begins at a multiple of this, and wider elements come first, so that every element is aligned. */
const ALIGNMENT = 8;

/** @throws InvalidArgumentError for a dtype safetensors lacks, data of the wrong length, a path that cannot be written.
 *  Nothing is left behind then. */
export async function writeSafetensors(path: string, contents: SafetensorsContents): Promise<void> {
  await writeFile(path, await plan(contents.tensors), contents.metadata ?? DEFAULT_METADATA);
}

/** Writes a model into a folder that exists: `model.safetensors` when one file suffices, otherwise
 * `model-00001-of-0000N.safetensors` and so on, and their index last, so that no index names a missing file.
 * @returns the names of the files written. @throws as `writeSafetensors`. */
export async function writeShardedSafetensors(folder: string, contents: ShardedContents): Promise<readonly string[]> {
  if (!(contents.maxShardBytes >= 1)) throw new InvalidArgumentError('maxShardBytes', 'must be at least 1');
  const shards = splitIntoShards(await plan(contents.tensors), contents.maxShardBytes);
  const metadata = contents.metadata ?? DEFAULT_METADATA;
  if (shards.length === 1) {
    await writeFile(join(folder, SINGLE_NAME), shards[0]!, metadata);
    return [SINGLE_NAME];
  }
  const names = shards.map((_, index) => shardName(index, shards.length));
  for (const [index, shard] of shards.entries()) await writeFile(join(folder, names[index]!), shard, metadata);
  await writeIndex(join(folder, INDEX_NAME), shards, names);
  return [...names, INDEX_NAME];
}

async function plan(sources: TensorSources): Promise<PlannedTensor[]> {
  const planned = (await collectSources(sources)).map((source): PlannedTensor => {
    const { name, dtype, shape } = source;
    if (name === '__metadata__') throw new InvalidArgumentError('tensor name', '__metadata__ is reserved');
    const dtypeName = fromDtype(dtype);
    if (dtypeName === undefined) {
      throw new InvalidArgumentError(
        `dtype of ${name}`,
        `safetensors has no ${dtype}; write GGUF, or dequantize first`,
      );
    }
    const bits = bitsPerElement(dtypeName)!;
    const byteLength = (numElements(shape) * bits) / 8;
    if (!Number.isSafeInteger(byteLength)) {
      throw new InvalidArgumentError(
        `shape of ${name}`,
        `${numElements(shape)} elements of ${bits} bits are not whole bytes`,
      );
    }
    return { source, dtypeName, bits, byteLength };
  });
  return planned.toSorted((a, b) => b.bits - a.bits);
}

/** Fills shards front to back. */
function splitIntoShards(tensors: readonly PlannedTensor[], maxShardBytes: number): PlannedTensor[][] {
  let current: PlannedTensor[] = [];
  let numBytes = 0;
  const shards = [current];
  for (const tensor of tensors) {
    if (current.length > 0 && numBytes + tensor.byteLength > maxShardBytes) {
      current = [];
      numBytes = 0;
      shards.push(current);
    }
    current.push(tensor);
    numBytes += tensor.byteLength;
  }
  return shards;
}

async function writeFile(
  path: string,
  tensors: readonly PlannedTensor[],
  metadata: ReadonlyMap<string, string>,
): Promise<void> {
  const header = encodeHeader(tensors, metadata);
  const fill = async (file: AtomicFileWriter): Promise<void> => {
    await file.write(header);
    for (const { source, byteLength } of tensors) {
      for await (const chunk of chunksOf(source, byteLength)) await file.write(chunk);
    }
  };
  const expectedBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, header.byteLength);
  await writeAtomically(path, fill, { expectedBytes });
}

/** Built entry by entry: an object would move names like `7` to the front and lose `__proto__`. */
function encodeHeader(tensors: readonly PlannedTensor[], metadata: ReadonlyMap<string, string>): Uint8Array {
  const entries: string[] = [];
  if (metadata.size > 0) {
    for (const [key, value] of metadata) {
      checkText('metadata key', key);
      checkText(`metadata ${key}`, `${value} `);
    }
    const pairs = [...metadata].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
    entries.push(`"__metadata__":{${pairs.join(',')}}`);
  }
  let begin = 0;
  for (const { source, dtypeName, byteLength } of tensors) {
    const entry = { dtype: dtypeName, shape: source.shape, data_offsets: [begin, begin + byteLength] };
    entries.push(`${JSON.stringify(source.name)}:${JSON.stringify(entry)}`);
    begin += byteLength;
  }
  const json = Buffer.from(`{${entries.join(',')}}`);
  const padded = Math.ceil(json.byteLength / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(8 + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded));
  header.set(json, 8);
  return header;
}

async function writeIndex(path: string, shards: readonly PlannedTensor[][], names: readonly string[]): Promise<void> {
  let totalSize = 0;
  const lines: string[] = [];
  for (const [index, shard] of shards.entries()) {
    for (const { source, byteLength } of shard) {
      totalSize += byteLength;
      lines.push(`    ${JSON.stringify(source.name)}: ${JSON.stringify(names[index])}`);
    }
  }
  const text = `{\n  "metadata": { "total_size": ${totalSize} },\n  "weight_map": {\n${lines.join(',\n')}\n  }\n}\n`;
  await writeAtomically(path, (file) => file.write(Buffer.from(text)));
}

function shardName(index: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, '0');
  return `model-${digits(index + 1)}-of-${digits(count)}.safetensors`;
}
