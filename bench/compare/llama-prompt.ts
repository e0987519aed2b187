/** What a test feeds one of llama.cpp's sequences. */
export interface LlamaPrompt {
  /** In the KV cache before the clock starts. */
  readonly prefix: readonly number[];
  /** pp: the prompt. tg: one token to begin with. */
  readonly own: readonly number[];
}
