/** What one kind of tokenizer adds to the GGUF keys that all have. */
import type { GgufValue } from '../../formats/gguf/gguf-value.ts';

export interface TokenizerKind {
  readonly keys: readonly [string, GgufValue][];
  /** The source brings text into Unicode's form NFC first, which the new file cannot ask for. */
  readonly normalizesToNfc?: boolean;
  /** What a person should know. */
  readonly notes: readonly string[];
}
