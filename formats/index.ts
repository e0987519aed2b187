/** `quern/formats`: model files without an engine. Read and write GGUF and safetensors, and convert element types.
 * `quantizeAffine` is for tensors of one's own: no model file that Quern reads holds them. */
export {
  type AffineGranularity,
  type AffineOptions,
  type AffineTensor,
  dequantizeAffine,
  quantizeAffine,
} from '../engine/tensor/affine.ts';
export { dequantize, quantize } from '../engine/tensor/quant/codec.ts';
export { type DetectedModel, detectModel, type ModelKind } from './detect.ts';
export type { Shard } from './file-set.ts';
export { GGML_TYPES, type GgmlType, ggmlTypeById, ggmlTypeByName } from './gguf/ggml-type.ts';
export type { GgufFields } from './gguf/gguf-fields.ts';
export {
  type GgufArray,
  type GgufMetadata,
  type GgufNumberArray,
  type GgufNumberType,
  type GgufValue,
  type GgufValueType,
  gguf,
} from './gguf/gguf-value.ts';
export { type GgufFile, openGguf } from './gguf/open-gguf.ts';
export { formatSplitName, parseSplitName, type SplitName } from './gguf/split-name.ts';
export { type GgufContents, writeGguf } from './gguf/write-gguf.ts';
export { type HfGenerationConfig, readHfGenerationConfig } from './hf/generation-config.ts';
export { type HfConfig, type HfRopeScaling, readHfConfig } from './hf/hf-config.ts';
export { type HfTokenizerConfig, readHfTokenizerConfig } from './hf/tokenizer-config.ts';
export type { JsonFields } from './json/json-fields.ts';
export type { JsonObject, JsonValue } from './json/parse-json.ts';
export { type ReadJsonOptions, readJsonFile } from './json/read-json-file.ts';
export { openSafetensors, type SafetensorsFile } from './safetensors/open-safetensors.ts';
export {
  type SafetensorsContents,
  type ShardedContents,
  writeSafetensors,
  writeShardedSafetensors,
} from './safetensors/write-safetensors.ts';
export { readTensor, type StoredTensor, type TensorFile } from './tensor-file.ts';
export type { TensorSource, TensorSources } from './tensor-source.ts';
