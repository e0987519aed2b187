/** Reads what comes before the tensor data of one GGUF file. Knows the order of the fields; no key's meaning but the
 * alignment's, which it needs to find the data.
 *
 *   | 'GGUF' | version u32 | tensor count u64 | metadata count u64 |
 *   | key string | value type u32 | value |                            metadata count times
 *   | name string | n dims u32 | dims u64 ... | type u32 | offset u64 |  tensor count times
 *
 * Version 2 and 3 differ only in that 3 may be big-endian. Version 1 had 32-bit lengths and was short-lived.
 * Source: `gguf_file_t` in the GGUF specification. */
import type { FormatError } from '../../engine/errors.ts';
import { numElements, type Shape } from '../../engine/tensor/shape.ts';
import type { FileRangeReader } from '../file-range-reader.ts';
import type { StoredTensor } from '../tensor-file.ts';
import { ALIGNMENT_RANGE, alignmentOf } from './alignment.ts';
import { type GgmlType, ggmlTypeById } from './ggml-type.ts';
import type { GgufValue } from './gguf-value.ts';
import { HeaderCursor } from './header-cursor.ts';
import { ValueReader } from './read-value.ts';
import { layOutTensors, type TensorInfo } from './tensor-layout.ts';

const MAX_DIMENSIONS = 4;
/** The specification's bound for keys. Tensor names get the same: ggml's own 64 is the size of a C array, not of a file. */
const MAX_NAME_BYTES = 65_535;
/** Real files have tens of keys. An entry of 14 bytes becomes objects of some 200. */
const MAX_METADATA_ENTRIES = 65_536;
/** Key of one byte, value type, value of one byte. */
const METADATA_MIN_BYTES = 8 + 1 + 4 + 1;
/** Name of one byte, no dimensions, type, offset. */
const TENSOR_MIN_BYTES = 8 + 1 + 4 + 4 + 8;

export interface GgufHeader {
  readonly version: number;
  readonly alignment: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  /** Where each key's value begins in the file, with the value's type. */
  readonly offsets: ReadonlyMap<string, number>;
  /** In the file's order, checked to lie within it. */
  readonly tensors: readonly StoredTensor[];
}

/** @throws FormatError naming file, byte offset and field for whatever is not as the specification demands. */
export async function readHeader(reader: FileRangeReader): Promise<GgufHeader> {
  const cursor = new HeaderCursor(reader);
  await readMagic(cursor);
  const version = await readVersion(cursor);
  const numTensors = await cursor.count('tensor_count', 'tensors', TENSOR_MIN_BYTES);
  const numEntries = await cursor.count('metadata_kv_count', 'metadata entries', METADATA_MIN_BYTES);
  if (numEntries > MAX_METADATA_ENTRIES) {
    throw cursor.fail(16, 'metadata_kv_count', `${numEntries} entries; at most ${MAX_METADATA_ENTRIES} are accepted`);
  }
  const { metadata, offsets } = await readMetadata(cursor, numEntries);
  const alignment = alignmentOf(metadata.get('general.alignment'));
  if (alignment === undefined) {
    throw cursor.fail(offsets.get('general.alignment')!, 'general.alignment', `must be ${ALIGNMENT_RANGE}`);
  }
  checkNumTensors(cursor, numTensors, alignment);
  const infos = await readTensorInfos(cursor, numTensors);
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const section = { file: reader.path, dataStart, alignment, fileByteLength: reader.byteLength };
  return { version, alignment, metadata, offsets, tensors: layOutTensors(infos, section) };
}

async function readMagic(cursor: HeaderCursor): Promise<void> {
  const magic = Buffer.from(new Uint8Array(4));
  await cursor.bytes(magic, 'magic');
  const text = magic.toString('latin1');
  if (text === 'GGUF') return;
  if (text === 'FUGG') throw bigEndian(cursor);
  throw cursor.fail(
    0,
    'magic',
    `not a GGUF file: it begins with bytes ${magic.toString('hex')}, not 47475546 ('GGUF')`,
  );
}

async function readVersion(cursor: HeaderCursor): Promise<number> {
  const version = await cursor.uint32('version');
  if (version === 2 || version === 3) return version;
  // No version is ever likely to reach 65,536, so low bytes of zero are the number's own high bytes.
  if (version !== 0 && (version & 0xffff) === 0) throw bigEndian(cursor);
  throw cursor.fail(4, 'version', `GGUF version ${version}; Quern reads 2 and 3. Convert the file with a current tool`);
}

function bigEndian(cursor: HeaderCursor): FormatError {
  return cursor.fail(4, 'version', 'a big-endian GGUF file; Quern reads little-endian ones. Convert the model again');
}

async function readMetadata(cursor: HeaderCursor, numEntries: number) {
  const values = new ValueReader(cursor);
  const metadata = new Map<string, GgufValue>();
  const offsets = new Map<string, number>();
  for (let i = 0; i < numEntries; i++) {
    const start = cursor.position;
    const key = await cursor.name(`metadata key ${i}`, MAX_NAME_BYTES);
    if (metadata.has(key)) throw cursor.fail(start, key, 'the key occurs twice');
    offsets.set(key, cursor.position);
    metadata.set(key, await values.read(key));
  }
  return { metadata, offsets };
}

/** Every tensor has a byte of its own, and all but the last are padded: so many must be left before their list is built. */
function checkNumTensors(cursor: HeaderCursor, numTensors: number, alignment: number): void {
  const numBytes = numTensors * TENSOR_MIN_BYTES + (numTensors - 1) * alignment + 1;
  if (numTensors > 0 && numBytes > cursor.numBytesLeft) {
    const left = `only ${cursor.numBytesLeft} are left in the file`;
    throw cursor.fail(
      8,
      'tensor_count',
      `${numTensors} tensors take at least ${numBytes} bytes with their data, but ${left}`,
    );
  }
}

async function readTensorInfos(cursor: HeaderCursor, numTensors: number): Promise<TensorInfo[]> {
  const infos: TensorInfo[] = [];
  const names = new Set<string>();
  for (let i = 0; i < numTensors; i++) {
    const infoOffset = cursor.position;
    const name = await cursor.name(`name of tensor ${i}`, MAX_NAME_BYTES);
    if (names.has(name)) throw cursor.fail(infoOffset, `tensor ${name}`, 'the name occurs twice');
    names.add(name);
    const shape = await readShape(cursor, `tensor ${name}`);
    const type = await readType(cursor, `tensor ${name}`);
    const offset = await cursor.uint64(`offset of tensor ${name}`);
    infos.push({ name, type, shape, offset, infoOffset });
  }
  return infos;
}

/** The file has the innermost dimension first; a Shape has it last. */
async function readShape(cursor: HeaderCursor, field: string): Promise<Shape> {
  const start = cursor.position;
  const numDimensions = await cursor.uint32(`${field}: n_dimensions`);
  if (numDimensions > MAX_DIMENSIONS) {
    throw cursor.fail(start, field, `claims ${numDimensions} dimensions; at most ${MAX_DIMENSIONS} are valid`);
  }
  const shape: number[] = [];
  for (let i = 0; i < numDimensions; i++) {
    const at = cursor.position;
    const size = await cursor.uint64(`${field}: dimensions`);
    if (size === 0n || size > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw cursor.fail(at, field, `dimension ${i} has size ${size}; 1 to 2^53 - 1 are valid`);
    }
    shape.unshift(Number(size));
  }
  if (!Number.isSafeInteger(numElements(shape))) throw cursor.fail(start, field, 'has more than 2^53 elements');
  return shape;
}

async function readType(cursor: HeaderCursor, field: string): Promise<GgmlType> {
  const start = cursor.position;
  const id = await cursor.uint32(`${field}: type`);
  const type = ggmlTypeById(id);
  if (type === undefined) throw cursor.fail(start, field, `ggml type ${id} is unknown`);
  return type;
}
