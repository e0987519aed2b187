/** Writes a GGUF file, version 3, little-endian. Holds the header and one chunk of data in memory, never a model.
 * `read-header.ts` draws the layout. */
import { InvalidArgumentError } from '../../engine/errors.ts';
import { formatShape } from '../../engine/tensor/shape.ts';
import { type AtomicFileWriter, writeAtomically } from '../atomic-file-writer.ts';
import { checkText, chunksOf, collectSources, type TensorSource, type TensorSources } from '../tensor-source.ts';
import { ALIGNMENT_RANGE, alignmentOf, DEFAULT_ALIGNMENT, isAlignment } from './alignment.ts';
import { ByteBuilder } from './byte-builder.ts';
import { encodeValue } from './encode-value.ts';
import { type GgmlType, ggmlTypeByName } from './ggml-type.ts';
import type { GgufMetadata, GgufValue } from './gguf-value.ts';
import { ggmlByteLength } from './tensor-layout.ts';

export interface GgufContents {
  readonly metadata: GgufMetadata;
  /** Written in this order. */
  readonly tensors: TensorSources;
  /** Bytes, a power of two. Default: what `general.alignment` in the metadata says, or 32. Any other than 32 is added to
   * the metadata. */
  readonly alignment?: number;
}

interface PlannedTensor {
  readonly source: TensorSource;
  readonly type: GgmlType;
  readonly byteLength: number;
  readonly offset: number;
}

/** @throws InvalidArgumentError for a value that does not fit its type, a tensor type GGUF lacks, a shape its quant blocks
 *  do not fill, data of the wrong length, a path that cannot be written. Nothing is left behind then. */
export async function writeGguf(path: string, contents: GgufContents): Promise<void> {
  const { metadata, alignment } = settleAlignment(contents);
  const tensors = plan(await collectSources(contents.tensors), alignment);
  const header = encodeHeader(metadata, tensors);
  const fill = async (file: AtomicFileWriter): Promise<void> => {
    await file.write(header);
    for (const tensor of tensors) await writeTensor(file, tensor, alignment);
    if (tensors.length > 0) await file.padTo(alignment);
  };
  const last = tensors.at(-1);
  const expectedBytes = header.byteLength + (last === undefined ? 0 : last.offset + last.byteLength);
  await writeAtomically(path, fill, { expectedBytes });
}

async function writeTensor(file: AtomicFileWriter, tensor: PlannedTensor, alignment: number): Promise<void> {
  await file.padTo(alignment);
  for await (const chunk of chunksOf(tensor.source, tensor.byteLength)) await file.write(chunk);
}

function settleAlignment({ metadata, alignment }: GgufContents): { metadata: GgufMetadata; alignment: number } {
  const stored = metadata.get('general.alignment');
  const settled = alignment ?? alignmentOf(stored);
  if (settled === undefined || !isAlignment(settled)) {
    throw new InvalidArgumentError('alignment', `must be ${ALIGNMENT_RANGE}, got ${settled ?? stored?.value}`);
  }
  if (stored !== undefined && alignmentOf(stored) !== settled) {
    throw new InvalidArgumentError('alignment', `${settled}, but general.alignment says ${stored.value}`);
  }
  if (stored !== undefined || settled === DEFAULT_ALIGNMENT) return { metadata, alignment: settled };
  const entry: [string, GgufValue] = ['general.alignment', { type: 'uint32', value: settled }];
  return { metadata: new Map([...metadata, entry]), alignment: settled };
}

function plan(sources: readonly TensorSource[], alignment: number): PlannedTensor[] {
  const tensors: PlannedTensor[] = [];
  let offset = 0;
  for (const source of sources) {
    const { name, dtype, shape } = source;
    const type = ggmlTypeByName(dtype);
    if (type === undefined) throw new InvalidArgumentError(`dtype of ${name}`, `GGUF has no tensor type ${dtype}`);
    if (shape.length > 4 || shape.includes(0)) {
      throw new InvalidArgumentError(`shape of ${name}`, `${formatShape(shape)} is not possible: 1 to 4 sizes from 1`);
    }
    const byteLength = ggmlByteLength(type, shape);
    if (byteLength === undefined) {
      const problem = `${formatShape(shape)}: rows of ${dtype} must be a multiple of ${type.blockSize}`;
      throw new InvalidArgumentError(`shape of ${name}`, problem);
    }
    tensors.push({ source, type, byteLength, offset });
    offset = Math.ceil((offset + byteLength) / alignment) * alignment;
  }
  return tensors;
}

function encodeHeader(metadata: GgufMetadata, tensors: readonly PlannedTensor[]): Uint8Array {
  const out = new ByteBuilder();
  out.raw(Buffer.from('GGUF', 'latin1'));
  out.uint32(3);
  out.uint64(tensors.length);
  out.uint64(metadata.size);
  for (const [key, value] of metadata) {
    checkText('metadata key', key);
    out.string(key);
    encodeValue(out, key, value);
  }
  for (const { source, type, offset } of tensors) {
    out.string(source.name);
    out.uint32(source.shape.length);
    for (const size of source.shape.toReversed()) out.uint64(size);
    out.uint32(type.id);
    out.uint64(offset);
  }
  return out.bytes;
}
