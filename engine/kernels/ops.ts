/** The op contract: what each op takes, what it computes, and in which shapes. The reference backend is the
 * specification (law 1); every other backend is compared with it by `tests/conformance`.
 *
 * Letters in shapes
 *   T tokens in the batch     S sequences in the batch   H hidden size      K, N in and out features of a matmul
 *   NH query heads            NKV key-value heads        D head dimension   V vocabulary
 *   B KV blocks in the pool   BS tokens per KV block     P positions in a rotary table
 * Activations are f32. Integer inputs are i32. Weights may have any float dtype. Any size may be 0.
 * `out` must not overlap an input, unless the op says that it may be one. `check-args.ts` holds these rules as code. */
import type { DType } from '../tensor/dtype.ts';
import type { Tensor } from '../tensor/tensor.ts';

/** out[t] = weight[tokenIds[t]], dequantized.
 * Shapes  tokenIds [T] i32; weight [V, H] any; out [T, H] f32 */
export interface EmbedArgs {
  readonly tokenIds: Tensor;
  readonly weight: Tensor;
  readonly out: Tensor;
}

/** out = x / sqrt(mean(x^2) + eps) * weight, per row. `out` may be `x`.
 * Shapes  x [T, H] f32; weight [H] any; out [T, H] f32
 * Source  Zhang & Sennrich 2019, "Root Mean Square Layer Normalization", eq. 4 */
export interface RmsNormArgs {
  readonly x: Tensor;
  readonly weight?: Tensor | undefined;
  readonly eps: number;
  readonly out: Tensor;
}

/** out = (x - mean) / sqrt(variance + eps) * weight + bias, per row. `out` may be `x`.
 * Shapes  x [T, H] f32; weight, bias [H] any; out [T, H] f32
 * Source  Ba et al. 2016, "Layer Normalization", eq. 4 */
export interface LayerNormArgs {
  readonly x: Tensor;
  readonly weight?: Tensor | undefined;
  readonly bias?: Tensor | undefined;
  readonly eps: number;
  readonly out: Tensor;
}

/** out = (x · weightᵀ + bias) + residual. The sum in brackets is rounded to f32 before the residual joins it, so the bits
 * are those of matmul without it and then add. `out` may be `residual`.
 * Shapes  x [T, K] f32; weight [N, K] any; bias [N] any; residual, out [T, N] f32
 * Source  Vaswani et al. 2017, eq. 1; He et al. 2016, "Deep Residual Learning", eq. 1 */
export interface MatmulArgs {
  readonly x: Tensor;
  readonly weight: Tensor;
  readonly bias?: Tensor | undefined;
  readonly residual?: Tensor | undefined;
  readonly out: Tensor;
}

export type Activation = 'silu' | 'gelu';

/** out = act(x · gateWeightᵀ + gateBias) * (x · upWeightᵀ + upBias): what a gated MLP does before it projects down. The
 * bits are those of two matmuls and then siluMul or geluMul; nobody needs memory for what they pass on.
 * Shapes  x [T, K] f32; gateWeight, upWeight [N, K] any; gateBias, upBias [N] any; out [T, N] f32
 * Source  Shazeer 2020, "GLU Variants Improve Transformer", eq. 6 */
export interface GatedMatmulArgs {
  readonly x: Tensor;
  readonly gateWeight: Tensor;
  readonly gateBias?: Tensor | undefined;
  readonly upWeight: Tensor;
  readonly upBias?: Tensor | undefined;
  readonly activation: Activation;
  readonly out: Tensor;
}

/** How the two halves of a rotated pair lie in a head.
 * 'interleaved' (GGML "norm", the paper's): pairs (0,1) (2,3) ...
 * 'neox' (GPT-NeoX, Hugging Face):          pairs (0,R/2) (1,R/2+1) ... for R rotated dimensions */
export type RopeStyle = 'interleaved' | 'neox';

/** Rotates each pair of the first R dimensions of every head, in place; the rest of the head is left alone.
 * Pair i at position p turns by the angle whose cosine and sine are `table[p][2i]` and `table[p][2i + 1]`: every
 * scaling scheme (linear, llama3, yarn, ...) is a matter of how the table was filled (`model/rotary.ts`).
 * Shapes  x [T, heads, D] f32; positions [T] i32; table [P, R] f32 with R even and R <= D
 * Source  Su et al. 2021, "RoFormer", eq. 34 */
export interface RopeArgs {
  readonly x: Tensor;
  readonly positions: Tensor;
  readonly table: Tensor;
  readonly style: RopeStyle;
}

/** What keys and values may be cached as. A row of D elements is encoded by itself, so D must be a multiple of the
 * format's quant block (32 for q8_0). */
export const KV_DTYPES = ['f32', 'f16', 'q8_0'] as const satisfies readonly DType[];

/** Stores each token's key and value in its slot of the paged cache. Slot s is token s % BS of block floor(s / BS);
 * a slot of -1 is skipped; no slot may occur twice. How a page's bytes lie is the backend's own affair.
 * Shapes  k, v [T, NKV, D] f32; keyCache, valueCache [B, NKV, BS, D] f32, f16 or q8_0; slotMapping [T] i32 */
export interface WriteKvArgs {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly keyCache: Tensor;
  readonly valueCache: Tensor;
  readonly slotMapping: Tensor;
}

/** Causal attention of each query token over its own sequence's pages.
 *
 * Sequence s owns query rows queryStartLoc[s] up to queryStartLoc[s + 1]; they are its last tokens, so row r of its
 * n rows stands at position p = seqLens[s] - n + r and sees keys at positions max(0, p - window + 1) to p.
 * Key position j lies in block blockTables[s][floor(j / BS)], slot j % BS. Table entries and slots that no row sees
 * may hold anything, NaN too. seqLens[s] >= n, or 0 for a padding sequence, whose rows see nothing and become zeros.
 * queryStartLoc[0] is 0; rows from queryStartLoc[S] on belong to nobody and are left alone.
 * score = q·k * scale; with softCap c: score = c * tanh(score / c); softmax over what is seen; out = sum of weight * v.
 * Query head h reads KV head floor(h / (NH / NKV)).
 * Shapes  q [T, NH, D] f32; keyCache, valueCache [B, NKV, BS, D] f32, f16 or q8_0;
 *         blockTables [S, maxBlocks] i32; queryStartLoc [S + 1] i32; seqLens [S] i32; out [T, NH, D] f32
 * Source  Vaswani et al. 2017, eq. 1; Ainslie et al. 2023 (GQA); Kwon et al. 2023 (PagedAttention, eq. 4);
 *         Jiang et al. 2023 (sliding window); Gemma Team 2024 (soft cap) */
export interface PagedAttentionArgs {
  readonly q: Tensor;
  readonly keyCache: Tensor;
  readonly valueCache: Tensor;
  readonly blockTables: Tensor;
  readonly queryStartLoc: Tensor;
  readonly seqLens: Tensor;
  readonly scale: number;
  /** Tokens seen, the query's own included. Absent: all. */
  readonly slidingWindow?: number | undefined;
  readonly softCap?: number | undefined;
  readonly out: Tensor;
}

/** out = act(gate) * up, element by element. `out` may be `gate` or `up`.
 * Shapes  gate, up, out [T, N] f32
 * Source  Shazeer 2020, "GLU Variants Improve Transformer", eq. 6 */
export interface GatedActivationArgs {
  readonly gate: Tensor;
  readonly up: Tensor;
  readonly out: Tensor;
}

/** out = a + b. `out` may be `a` or `b`.
 * Shapes  a, b, out of one shape, f32 */
export interface AddArgs {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly out: Tensor;
}

/** out[r] = x[rows[r]].
 * Shapes  x [T, H] f32; rows [R] i32; out [R, H] f32 */
export interface GatherRowsArgs {
  readonly x: Tensor;
  readonly rows: Tensor;
  readonly out: Tensor;
}

/** Copies KV blocks source to target, in the order of the list: a block may be the target of one copy and the source of
 * a later one.
 * Shapes  keyCache, valueCache [B, NKV, BS, D] f32, f16 or q8_0; copies [C, 2] i32, each (source, target) */
export interface CopyBlocksArgs {
  readonly keyCache: Tensor;
  readonly valueCache: Tensor;
  readonly copies: Tensor;
}

/** out[r] = logits[r][tokenIds[r]] - ln(sum over v of e^logits[r][v]).
 * Shapes  logits [R, V] f32; tokenIds [R] i32; out [R] f32
 * Source  Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions" */
export interface TokenLogprobsArgs {
  readonly logits: Tensor;
  readonly tokenIds: Tensor;
  readonly out: Tensor;
}

/** out[r] = the K highest of row r's logits, best first and the lower id first among equals, each as (token id, logit).
 * NaN counts as -Infinity, and is put out as that. With K = 1 it is the argmax. Ids are exact: f32 holds every whole
 * number up to 2^24.
 * Shapes  logits [R, V] f32 with V up to 2^24; out [R, K, 2] f32 with K up to V
 * Source  Fan, Lewis & Dauphin 2018, "Hierarchical Neural Story Generation", section 5.4 (top-k sampling) */
export interface TopLogitsArgs {
  readonly logits: Tensor;
  readonly out: Tensor;
}

/** The sums that a draw from softmax(logits[rows[q]] / temperatures[q]) needs, one per segment of the vocabulary, so that
 * nobody has to pass over all of it to find the token that was drawn. out[q][s] = (m, high, low): m is the highest logit of
 * segment s, tokens s * segmentSize and on; high + low = sum over the segment of e^((logit - m) / temperatures[q]), within
 * 2^-44 of it: f32 alone could not tell a token of probability 1e-8 from none. NaN counts as -Infinity. Where m is not
 * finite, high and low are 0.
 * Shapes  logits [R, V] f32; rows [Q] i32; temperatures Q numbers above 0; out [Q, ceil(V / segmentSize), 3] f32
 * Source  Blanchard, Higham & Higham 2021, "Accurately computing the log-sum-exp and softmax functions" */
export interface SoftmaxSumsArgs {
  readonly logits: Tensor;
  readonly rows: Tensor;
  readonly temperatures: readonly number[];
  /** Tokens per segment; the last one may have fewer. */
  readonly segmentSize: number;
  readonly out: Tensor;
}

/** Every op by name. GELU is computed by its tanh approximation (Hendrycks & Gimpel 2016, section 2). */
export interface OpArgs {
  embed: EmbedArgs;
  rmsNorm: RmsNormArgs;
  layerNorm: LayerNormArgs;
  matmul: MatmulArgs;
  gatedMatmul: GatedMatmulArgs;
  rope: RopeArgs;
  writeKv: WriteKvArgs;
  pagedAttention: PagedAttentionArgs;
  siluMul: GatedActivationArgs;
  geluMul: GatedActivationArgs;
  add: AddArgs;
  gatherRows: GatherRowsArgs;
  copyBlocks: CopyBlocksArgs;
  tokenLogprobs: TokenLogprobsArgs;
  topLogits: TopLogitsArgs;
  softmaxSums: SoftmaxSumsArgs;
}

export type OpName = keyof OpArgs;
