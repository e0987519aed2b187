/** What kind of model lies at a path. Looks at bytes, not at names: a GGUF file without its ending is one all the same. */
import { join } from 'node:path';
import { FileRangeReader } from './file-range-reader.ts';
import { formatFailure } from './format-failure.ts';
import { describeFolder, listFolder } from './list-folder.ts';
import { INDEX_NAME, SINGLE_NAME } from './safetensors/shard-index.ts';

/** `safetensors` is weights alone; `hf-folder` has the `config.json` that says what to do with them. */
export type ModelKind = 'gguf' | 'safetensors' | 'hf-folder';

export interface DetectedModel {
  readonly kind: ModelKind;
  /** The file or folder to open, as given. */
  readonly path: string;
}

/** @throws FormatError when there is something, but no model, saying what was found and what would be right;
 *          FileAccessError when there is no such file or folder or it may not be read. */
export async function detectModel(path: string): Promise<DetectedModel> {
  const entries = await listFolder(path);
  const kind = entries === undefined ? await detectFile(path) : detectFolder(path, entries);
  return { kind, path };
}

function detectFolder(folder: string, entries: readonly string[]): ModelKind {
  if (entries.includes(SINGLE_NAME) || entries.includes(INDEX_NAME)) {
    return entries.includes('config.json') ? 'hf-folder' : 'safetensors';
  }
  const where = { file: folder, byteOffset: 0, field: 'folder' };
  const gguf = entries.find((name) => name.endsWith('.gguf'));
  const advice = gguf === undefined ? '' : `. To load the GGUF file in it, give ${join(folder, gguf)}`;
  const expected = `config.json and ${SINGLE_NAME} (or ${INDEX_NAME})`;
  throw formatFailure(where, `a model folder holds ${expected}; this one holds ${describeFolder(entries)}${advice}`);
}

async function detectFile(path: string): Promise<ModelKind> {
  const reader = await FileRangeReader.open(path);
  try {
    const start = Buffer.from(new Uint8Array(Math.min(9, reader.byteLength)));
    await reader.read(0, start, 'file');
    const magic = start.toString('latin1', 0, 4);
    // 'FUGG' is the same file with its bytes the other way round; its reader explains.
    if (magic === 'GGUF' || magic === 'FUGG') return 'gguf';
    if (start.length === 9 && start[8] === 0x7b && start.readBigUInt64LE() <= reader.byteLength - 8)
      return 'safetensors';
    if (path.endsWith('.safetensors.index.json')) return 'safetensors';
    const found = `it begins with bytes ${start.toString('hex')}`;
    const where = { file: path, byteOffset: 0, field: 'file' };
    throw formatFailure(where, `neither a GGUF file, nor a safetensors file, nor a model folder: ${found}`);
  } finally {
    await reader.close();
  }
}
