/** The tokenizer that `--model` and `--tokenizer` name; no weights are loaded. */
import { readFolderTokenizer } from '../engine/loader/load-tokenizer.ts';
import { openModel } from '../engine/loader/open-model.ts';
import type { Tokenizer } from '../engine/tokenizer/index.ts';

export interface TokenizerOptions {
  readonly model: string;
  readonly tokenizer?: string;
}

/** @throws FileAccessError, FormatError, UnsupportedError */
export async function openTokenizer(options: TokenizerOptions): Promise<Tokenizer> {
  if (options.tokenizer !== undefined) return readFolderTokenizer(options.tokenizer);
  const model = await openModel(options.model);
  try {
    return await model.readTokenizer();
  } finally {
    await model.close();
  }
}
