/** Reads the header of one safetensors file and checks it against the file.
 *
 *   0              8                    8 + n                                              end
 *   | n u64        | JSON, n bytes      | data of all tensors, one after another, no gaps   |
 *                  { "__metadata__": { "format": "pt" },
 *                    "model.norm.weight": { "dtype": "F32", "shape": [64], "data_offsets": [0, 256] }, ... }
 *
 * The offsets count from 8 + n. Together they must tile the data: no hole where something could hide, no overlap that would
 * make a small file claim a large model. Source: "Format" in the safetensors README, and the crate's validation. */
import { isUtf8 } from 'node:buffer';
import { formatShape, numElements, type Shape } from '../../engine/tensor/shape.ts';
import type { FileRangeReader } from '../file-range-reader.ts';
import { formatFailure } from '../format-failure.ts';
import { JsonReader } from '../json/json-reader.ts';
import type { StoredTensor } from '../tensor-file.ts';
import { bitsPerElement, toDtype } from './safetensors-dtype.ts';

const LENGTH_BYTES = 8;
/** The bound of the reference implementation. */
const MAX_HEADER_BYTES = 100_000_000;
/** The format sets no bound; nothing in use has more. Keeps a shape of a million ones from being formatted into errors. */
const MAX_DIMENSIONS = 32;

export interface SafetensorsHeader {
  /** `__metadata__`: free text by key. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: readonly StoredTensor[];
}

/** One entry as read: offsets count from the start of the data. */
interface Entry {
  readonly name: string;
  readonly dtypeName: string;
  readonly shape: Shape;
  readonly begin: number;
  readonly end: number;
  /** Where in the file the entry stands. */
  readonly byteOffset: number;
}

/** @throws FormatError naming file, byte offset and field for whatever is not as the format demands. */
export async function readHeader(file: FileRangeReader): Promise<SafetensorsHeader> {
  const bytes = await readHeaderBytes(file);
  const reader = new JsonReader(bytes, file.path, LENGTH_BYTES);
  const { metadata, entries } = readEntries(reader);
  reader.end();
  const dataStart = LENGTH_BYTES + bytes.byteLength;
  const numDataBytes = file.byteLength - dataStart;
  const inOrder = entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  checkTiling(reader, inOrder, numDataBytes);
  const tensors = inOrder.map((entry): StoredTensor => {
    const { name, shape, begin, end } = entry;
    const byteOffset = dataStart + begin;
    return { name, dtype: toDtype(entry.dtypeName), shape, byteLength: end - begin, file: file.path, byteOffset };
  });
  return { metadata, tensors };
}

async function readHeaderBytes(file: FileRangeReader): Promise<Uint8Array> {
  const fail = (byteOffset: number, problem: string) =>
    formatFailure({ file: file.path, byteOffset, field: 'header' }, problem);
  const lengthBytes = Buffer.from(new Uint8Array(LENGTH_BYTES));
  await file.read(0, lengthBytes, 'header length');
  const length = lengthBytes.readBigUInt64LE();
  if (length > BigInt(file.byteLength - LENGTH_BYTES)) {
    throw fail(0, `claims ${length} bytes, but only ${file.byteLength - LENGTH_BYTES} are left in the file`);
  }
  if (length > MAX_HEADER_BYTES) throw fail(0, `claims ${length} bytes; at most ${MAX_HEADER_BYTES} are valid`);
  const bytes = new Uint8Array(Number(length));
  await file.read(LENGTH_BYTES, bytes, 'header');
  if (bytes[0] !== 0x7b) throw fail(LENGTH_BYTES, "not a safetensors file: the header must begin with '{'");
  if (!isUtf8(bytes)) throw fail(LENGTH_BYTES, 'the header is not valid UTF-8');
  return bytes;
}

function readEntries(reader: JsonReader): { metadata: ReadonlyMap<string, string>; entries: readonly Entry[] } {
  let metadata: ReadonlyMap<string, string> = new Map();
  const names = new Set<string>();
  const entries: Entry[] = [];
  reader.object('header', (name, byteOffset) => {
    if (names.has(name)) throw reader.fail(byteOffset, name, 'the name occurs twice');
    names.add(name);
    if (name === '__metadata__') metadata = readMetadata(reader);
    else entries.push(readEntry(reader, name, byteOffset));
  });
  return { metadata, entries };
}

function readMetadata(reader: JsonReader): ReadonlyMap<string, string> {
  const metadata = new Map<string, string>();
  reader.object('__metadata__', (key, byteOffset) => {
    if (metadata.has(key)) throw reader.fail(byteOffset, `__metadata__.${key}`, 'the key occurs twice');
    metadata.set(key, reader.string(`__metadata__.${key}`));
  });
  return metadata;
}

function readEntry(reader: JsonReader, name: string, byteOffset: number): Entry {
  let dtypeName: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  reader.object(name, (key, keyOffset) => {
    const field = `${name}.${key}`;
    if (key === 'dtype' && dtypeName === undefined) dtypeName = reader.string(field);
    else if (key === 'shape' && shape === undefined) shape = readUints(reader, field, MAX_DIMENSIONS);
    else if (key === 'data_offsets' && offsets === undefined) offsets = readUints(reader, field, 2);
    else throw reader.fail(keyOffset, field, 'must be dtype, shape or data_offsets, each once');
  });
  if (dtypeName === undefined || shape === undefined || offsets?.length !== 2) {
    throw reader.fail(byteOffset, name, 'must have a dtype, a shape and two data_offsets');
  }
  const entry: Entry = { name, dtypeName, shape, begin: offsets[0]!, end: offsets[1]!, byteOffset };
  checkSize(reader, entry);
  return entry;
}

function readUints(reader: JsonReader, field: string, maxCount: number): number[] {
  const values: number[] = [];
  reader.array(field, (index) => {
    if (index === maxCount) throw reader.fail(reader.byteOffset, field, `has more than ${maxCount} numbers`);
    values.push(reader.uint(field));
  });
  return values;
}

function checkSize(reader: JsonReader, entry: Entry): void {
  const { name, dtypeName, shape, begin, end, byteOffset } = entry;
  const bits = bitsPerElement(dtypeName);
  if (bits === undefined) throw reader.fail(byteOffset, `${name}.dtype`, `${dtypeName.slice(0, 40)} is unknown`);
  const numBits = numElements(shape) * bits;
  if (!Number.isSafeInteger(numBits))
    throw reader.fail(byteOffset, `${name}.shape`, 'has more elements than can be counted');
  if (numBits % 8 !== 0) throw reader.fail(byteOffset, `${name}.shape`, `${numBits} bits are not whole bytes`);
  if (begin > end || end - begin !== numBits / 8) {
    const takes = `${dtypeName} ${formatShape(shape)} takes ${numBits / 8} bytes`;
    throw reader.fail(byteOffset, `${name}.data_offsets`, `${takes}, but the offsets are ${begin} to ${end}`);
  }
}

/** @param inOrder  sorted by where their data begins */
function checkTiling(reader: JsonReader, inOrder: readonly Entry[], numDataBytes: number): void {
  let position = 0;
  for (const { name, begin, end, byteOffset } of inOrder) {
    const field = `${name}.data_offsets`;
    if (begin !== position) {
      const problem = begin < position ? 'overlaps the tensor before' : 'leaves a hole after the tensor before';
      throw reader.fail(byteOffset, field, `begins at ${begin} and so ${problem}, which ends at ${position}`);
    }
    if (end > numDataBytes) {
      throw reader.fail(byteOffset, field, `ends at ${end}, but the file holds only ${numDataBytes} bytes of data`);
    }
    position = end;
  }
  if (position !== numDataBytes) {
    throw reader.fail(0, 'header', `the tensors cover ${position} bytes of data, but the file holds ${numDataBytes}`);
  }
}
