/** Which tokens end a generation. Files name at most one or two; a chat model has more, and they are known by their
 * spelling. Source for the spellings: llama.cpp, `llama-vocab.cpp`. */

const END_TEXTS: ReadonlySet<string> = new Set([
  '</s>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|eot_id|>', // Llama 3: end of turn
  '<|eom_id|>', // Llama 3: end of message, a tool is called
  '<|im_end|>', // ChatML: Qwen, SmolLM
  '<|end|>', // Phi 3
  '<|return|>',
  '<|call|>',
  '<end_of_turn>', // Gemma
  '<eos>',
  '<EOT>',
  '[EOS]',
  '[EOT]',
  '<end_of_utterance>',
  '<｜end▁of▁sentence｜>', // DeepSeek
  // Code models, where a file or a repository ends:
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
]);

/** In the harmony format `<|end|>` ends one message of several; only these end the generation. */
const HARMONY_TEXTS = ['<|return|>', '<|call|>'];

export function isEndText(text: string): boolean {
  return END_TEXTS.has(text);
}

/** @param named       ids that the file names as ends
 *  @param candidates  text to id of the tokens to look through */
export function endOfGenerationIds(
  named: readonly (number | undefined)[],
  candidates: ReadonlyMap<string, number>,
): ReadonlySet<number> {
  const ids = new Set<number>();
  for (const text of END_TEXTS) {
    const id = candidates.get(text);
    if (id !== undefined) ids.add(id);
  }
  if (HARMONY_TEXTS.every((text) => candidates.has(text))) ids.delete(candidates.get('<|end|>') ?? -1);
  for (const id of named) if (id !== undefined) ids.add(id);
  return ids;
}
