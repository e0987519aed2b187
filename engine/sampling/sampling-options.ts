/** What a request may say about sampling, under the names that OpenAI, vLLM and llama.cpp use.
 *
 * Every option may be left out, or be null. Numbers have no unit unless one is given. */
export interface SamplingOptions {
  /** Most tokens to generate. Default: up to the context's end. Unit: tokens. Minimum 1. */
  readonly max_tokens?: number | null;
  /** Fewest tokens to generate: until then nothing that would end the text counts. Default 0. Unit: tokens. Minimum 0,
   * at most `max_tokens`. */
  readonly min_tokens?: number | null;
  /** Completions of the same prompt, each with random numbers of its own. Default 1. Minimum 1, maximum 128. */
  readonly n?: number | null;
  /** Makes a run repeatable. Default: chosen at random, and reported. Any safe integer, negative ones too. */
  readonly seed?: number | null;

  /** Divides the logits: 0 is greedy, 1 the model's own distribution. Default 1. Minimum 0. */
  readonly temperature?: number | null;
  /** Keep the k likeliest tokens. Default 0. 0 and -1 keep all. Minimum -1. */
  readonly top_k?: number | null;
  /** Keep the likeliest tokens that together reach this probability. Default 1 (all). Minimum 0 (one), maximum 1. */
  readonly top_p?: number | null;
  /** Keep tokens at least this many times as likely as the likeliest. Default 0 (all). Minimum 0, maximum 1. */
  readonly min_p?: number | null;
  /** Keep the most typical tokens that together reach this probability. Default 1 (all). Minimum 0 (one), maximum 1. */
  readonly typical_p?: number | null;
  /** Keep logits within this many standard deviations of the highest. Default -1. 0 and below keep all. Minimum -1. */
  readonly top_n_sigma?: number | null;
  /** How often to drop the top choices. Default 0 (never). Unit: probability. Minimum 0, maximum 1. */
  readonly xtc_probability?: number | null;
  /** How likely a token must be to count as a top choice. Default 0.1. Unit: probability. Minimum 0, maximum 1. */
  readonly xtc_threshold?: number | null;

  /** Divides positive logits of tokens that the prompt or the text holds, multiplies negative ones. Default 1 (off).
   * Above 0; below 1 encourages. */
  readonly repetition_penalty?: number | null;
  /** Taken from a token's logit for each time it was generated. Default 0 (off). Minimum -2, maximum 2. */
  readonly frequency_penalty?: number | null;
  /** Taken from a token's logit once if it was generated. Default 0 (off). Minimum -2, maximum 2. */
  readonly presence_penalty?: number | null;
  /** How far back the three penalties look. Default -1 (everything). Unit: tokens. 0 turns them off. Minimum -1. */
  readonly repeat_last_n?: number | null;
  /** Added to the logits of tokens, by id: `{ "15043": -100 }`. Default none. Minimum -100, maximum 100. -100, and
   * -Infinity too, bans the token outright. */
  readonly logit_bias?: Readonly<Record<string, number>> | null;

  /** Text at which to stop: a string or several. Default none. None may be empty; at most 1,024, of 65,536 UTF-16 units
   * together. */
  readonly stop?: string | readonly string[] | null;
  /** Leave the stop string in the text. Default false. */
  readonly include_stop_str_in_output?: boolean | null;
  /** Tokens at which to stop, besides the model's own. Default none. Minimum 0. */
  readonly stop_token_ids?: readonly number[] | null;
  /** Go on after the model's end-of-generation tokens; they can still be chosen. Default false. */
  readonly ignore_eos?: boolean | null;

  /** Report log-probabilities: `true` for the chosen tokens' (as in OpenAI's chat), or a number of likeliest tokens to
   * report beside them (as in OpenAI's completions and vLLM; 0 is the same as `true`). Default false. Minimum 0,
   * maximum 20. */
  readonly logprobs?: boolean | number | null;
  /** With `logprobs: true`, the number of likeliest tokens to report. Default 0. Minimum 0, maximum 20. */
  readonly top_logprobs?: number | null;
}
