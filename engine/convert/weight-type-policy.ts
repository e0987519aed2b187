/** Which format each tensor of a model gets when the model is quantized. Knows names and shapes; no values.
 *
 *   norms, biases, rope factors     stay as they are: small, and every value counts
 *   output projection               q6_k: its rounding goes straight into the logits (q8_0 stays q8_0)
 *   token embedding                 the same where it is tied to the output, else like the rest
 *   attn_v, ffn_down                in a mix: q6_k in the first and last eighth of the layers and every third between
 *   all other matrices              the target's format
 *
 * A format whose quant blocks do not fill the rows gives way to a coarser-grained one of more bits.
 * The names are GGUF's. Source  `llama_tensor_get_type` and its helpers in llama.cpp's `llama-quant.cpp`, without the
 * special cases for Falcon, 70B and mixtures of experts. */
import type { FloatDType } from '../tensor/dtype.ts';
import { quantFormat } from '../tensor/quant/quant-registry.ts';
import { rowSize, type Shape } from '../tensor/shape.ts';
import type { QuantizeTarget } from './quantize-target.ts';

export interface WeightTypeContext {
  readonly target: QuantizeTarget;
  readonly numLayers: number;
  /** The file has no output projection of its own. */
  readonly isTied: boolean;
  /** Every matrix gets the target's format, without the exceptions above. */
  readonly isPure: boolean;
}

/** Matrices by shape that are too small or too sensitive to quantize. */
const KEPT =
  /(_norm|ffn_gate_inp|ssm_conv1d|shortconv\.conv|time_mix_\w+|attn_rel_b|position_embd|token_types)\.weight$/;

/** For formats of 256 to a quant block: the nearest one of 32 with at least as many bits. */
const NARROWER: Partial<Readonly<Record<FloatDType, FloatDType>>> = { q4_k: 'q5_0', q5_k: 'q5_1', q6_k: 'q8_0' };

/** @returns the format, or `undefined` for a tensor that stays as it is. */
export function chooseWeightType(name: string, shape: Shape, context: WeightTypeContext): FloatDType | undefined {
  if (!isMatrix(shape) || !name.endsWith('weight') || KEPT.test(name)) return undefined;
  const { target, isPure } = context;
  const isBlockFormat = quantFormat(target.dtype).blockSize > 1;
  const wanted = isPure || !isBlockFormat ? target.dtype : withExceptions(name, shape, context);
  return fitRow(wanted, rowSize(shape));
}

/** GGUF drops outer dimensions of 1: a matrix of one row is a vector. */
function isMatrix(shape: Shape): boolean {
  const outermost = shape.findIndex((size) => size !== 1);
  return outermost >= 0 && shape.length - outermost >= 2;
}

function withExceptions(name: string, shape: Shape, context: WeightTypeContext): FloatDType {
  const { dtype, isMix } = context.target;
  if (name === 'output.weight' || (context.isTied && name === 'token_embd.weight')) {
    return dtype === 'q8_0' || !fits(dtype, rowSize(shape)) ? 'q8_0' : 'q6_k';
  }
  if (!isMix) return dtype;
  if (name.includes('attn_qkv.weight')) return dtype === 'q4_k' ? 'q5_k' : 'q6_k';
  const layer = layerOf(name);
  const isSensitive = /attn_v\.weight|ffn_down/.test(name);
  return isSensitive && layer !== undefined && getsMoreBits(layer, context.numLayers) ? 'q6_k' : dtype;
}

/** Errors made in the first layers grow on the way, and those of the last have no layer left to even them out. */
function getsMoreBits(layer: number, numLayers: number): boolean {
  const eighth = Math.floor(numLayers / 8);
  return layer < eighth || layer >= Math.floor((7 * numLayers) / 8) || (layer - eighth) % 3 === 2;
}

/** The number in `blk.7.attn_v.weight`. */
export function layerOf(name: string): number | undefined {
  const digits = /^blk\.(\d{1,6})\./.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function fits(dtype: FloatDType, rowLength: number): boolean {
  return rowLength % quantFormat(dtype).blockSize === 0;
}

function fitRow(dtype: FloatDType, rowLength: number): FloatDType {
  if (fits(dtype, rowLength)) return dtype;
  const narrower = NARROWER[dtype];
  return narrower !== undefined && fits(narrower, rowLength) ? narrower : 'f16';
}
