/** What the rest of the engine imports from here. */
export { fromGgufMetadata } from './from-gguf-metadata.ts';
export type { MetadataEntries } from './gguf-tokenizer-keys.ts';
export { IncrementalDetokenizer } from './incremental-detokenizer.ts';
export { fromTokenizerJson, type TokenizerConfig } from './json/from-tokenizer-json.ts';
export type { DecodeOptions } from './token-decoder.ts';
export { TOKEN_TYPES, type TokenType } from './token-table.ts';
export type { EncodeOptions, Tokenizer } from './tokenizer.ts';
