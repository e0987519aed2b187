/** The index of a sharded safetensors model: which file holds which tensor.
 *
 *   { "metadata": { "total_size": 520064 }, "weight_map": { "model.norm.weight": "model-00002-of-00002.safetensors", ... } }
 *
 * Source: "Sharded checkpoints" in the documentation of huggingface/transformers. */
import { isUtf8 } from 'node:buffer';
import { formatFailure } from '../format-failure.ts';
import { JsonReader } from '../json/json-reader.ts';
import { readBoundedFile } from '../json/read-json-file.ts';

export const INDEX_NAME = 'model.safetensors.index.json';
export const SINGLE_NAME = 'model.safetensors';

/** 100 bytes per tensor and more than a hundred thousand tensors. */
const MAX_INDEX_BYTES = 2 ** 25;

/** From tensor name to file name. File names are bare: the model lies in one folder, and no index can point out of it.
 * @throws FormatError for whatever else the index holds, FileAccessError when it cannot be opened. */
export async function readShardIndex(path: string): Promise<ReadonlyMap<string, string>> {
  const bytes = await readBoundedFile(path, MAX_INDEX_BYTES);
  if (!isUtf8(bytes)) throw formatFailure({ file: path, byteOffset: 0, field: 'index' }, 'is not valid UTF-8');
  const reader = new JsonReader(bytes, path);
  const weightMap = new Map<string, string>();
  let numMaps = 0;
  reader.object('index', (key, byteOffset) => {
    if (key === 'metadata') return skipMetadata(reader);
    if (key !== 'weight_map' || numMaps++ > 0) {
      throw reader.fail(byteOffset, key, "is not expected; an index holds 'metadata' and one 'weight_map'");
    }
    readWeightMap(reader, weightMap);
  });
  reader.end();
  if (weightMap.size === 0) throw reader.fail(0, 'weight_map', 'is missing or empty');
  return weightMap;
}

function readWeightMap(reader: JsonReader, weightMap: Map<string, string>): void {
  reader.object('weight_map', (name, nameOffset) => {
    const field = `weight_map.${name}`;
    if (weightMap.has(name)) throw reader.fail(nameOffset, field, 'the name occurs twice');
    const valueOffset = reader.byteOffset;
    const fileName = reader.string(field);
    if (!isBareName(fileName)) {
      throw reader.fail(
        valueOffset,
        field,
        `${JSON.stringify(fileName)} is not the name of a file in the model's folder`,
      );
    }
    weightMap.set(name, fileName);
  });
}

/** No separator of any system, no drive, no parent, no NUL. */
function isBareName(name: string): boolean {
  return name.endsWith('.safetensors') && !/[/\\:\0]/.test(name);
}

/** Numbers and words that nothing here needs (`total_size` is often wrong for tied weights). */
function skipMetadata(reader: JsonReader): void {
  reader.object('metadata', (key) => {
    const field = `metadata.${key}`;
    const token = reader.peek(field);
    if (token === 'string') reader.string(field);
    else if (token === 'number') reader.number(field);
    else if (token === 'object' || token === 'array')
      throw reader.fail(reader.byteOffset, field, 'must be a plain value');
    else reader.word(token, field);
  });
}
