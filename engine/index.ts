/** What a user may import from 'quern'. */
export { type BundledModel, bundledModelPath } from './bundled-model.ts';
export { CHAT_ROLES, type ChatMessage, type ChatRole, type TextPart, type ToolCall } from './chat/index.ts';
export { Engine, type Prompt } from './engine.ts';
export type { EngineOptions } from './engine-options.ts';
export type { EngineStats } from './engine-stats.ts';
export * from './errors.ts';
export type { KvDType } from './kvcache/kv-cache-storage.ts';
export type { LoadProgress } from './loader/load-weights.ts';
export type { MetricsSnapshot, TimeSummary } from './metrics.ts';
export type { ModelConfig } from './model/model-config.ts';
export type { PromptCacheRefusal, PromptCacheRefusalReason } from './prompt-cache/prompt-cache-refusal.ts';
export type { RestoredPromptCache, RestorePromptCacheOptions } from './prompt-cache/restore-prompt-cache.ts';
export type { SavedPromptCache, SavePromptCacheOptions } from './prompt-cache/save-prompt-cache.ts';
export type { ChatOptions, GenerateOptions } from './requests/generate-options.ts';
export type {
  GeneratedLogprob,
  GenerationChoice,
  GenerationChunk,
  GenerationFinishReason,
  GenerationResult,
  GenerationStream,
  GenerationTimings,
  GenerationUsage,
} from './requests/generation-stream.ts';
export type { Pooling } from './requests/prompt-reader.ts';
export type { Embedding, EmbedOptions, Score, ScoreOptions } from './requests/prompt-service.ts';
export type { RequestOptions } from './requests/request-options.ts';
export type { TokenLogprob } from './sampling/log-probabilities.ts';
export type { SamplingOptions } from './sampling/sampling-options.ts';
export type { FinishReason, Sequence } from './scheduler/sequence.ts';
export type { SequenceEvent, SequenceListener } from './scheduler/sequence-events.ts';
export type { DecodeOptions, EncodeOptions, Tokenizer } from './tokenizer/index.ts';
