/** Finds a model's tokenizer: in a GGUF file's metadata, or as `tokenizer.json` in a folder. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { GgufFile } from '../../formats/gguf/open-gguf.ts';
import { readHfTokenizerConfig } from '../../formats/hf/tokenizer-config.ts';
import { readJsonFile } from '../../formats/json/read-json-file.ts';
import { FileAccessError } from '../errors.ts';
import { fromGgufMetadata, fromTokenizerJson, type Tokenizer } from '../tokenizer/index.ts';

/** The largest published `tokenizer.json` files have some 35 MB. */
const MAX_TOKENIZER_BYTES = 2 ** 27;

/** @throws FormatError, UnsupportedError */
export function readGgufTokenizer(file: GgufFile, path: string): Tokenizer {
  return fromGgufMetadata(file.metadata, path);
}

/** @param folder  where `tokenizer.json` lies. A variant of a model kept in a sub-folder without a tokenizer of its own
 *   (`bf16/`, `onnx/`) uses that of the folder above it.
 * @throws FileAccessError when there is none, FormatError, UnsupportedError */
export async function readFolderTokenizer(folder: string): Promise<Tokenizer> {
  const places = [folder, dirname(resolve(folder))];
  const found = places.find((place) => existsSync(join(place, 'tokenizer.json')));
  if (found === undefined) {
    throw new FileAccessError(
      folder,
      'no tokenizer.json here or in the folder above; name its folder with --tokenizer',
    );
  }
  const file = join(found, 'tokenizer.json');
  const json = await readJsonFile(file, { maxBytes: MAX_TOKENIZER_BYTES });
  return fromTokenizerJson(json, await readHfTokenizerConfig(found), file);
}
