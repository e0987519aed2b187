/** What one kind of tokenizer adds to the GGUF keys that all have. */
import type { GgufValue } from '../../formats/gguf/gguf-value.ts';

export interface TokenizerKind {
  readonly keys: readonly [string, GgufValue][];
  /** What a person should know. */
  readonly notes: readonly string[];
}
