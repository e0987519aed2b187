import { describe, expect, it } from 'vitest';
import { findQuantizeTarget, QUANTIZE_TARGETS } from '../../../engine/convert/quantize-target.ts';
import { chooseWeightType } from '../../../engine/convert/weight-type-policy.ts';
import { FLOAT_DTYPES } from '../../../engine/tensor/dtype.ts';
import { quantFormat } from '../../../engine/tensor/quant/quant-registry.ts';

const choose = (
  name: string,
  type: string,
  { shape = [256, 256], numLayers = 16, isTied = false, isPure = false } = {},
): string | undefined => chooseWeightType(name, shape, { target: findQuantizeTarget(type), numLayers, isTied, isPure });

describe('targets', () => {
  it('are all formats that can be written, and the mixes', () => {
    const writable = FLOAT_DTYPES.filter((dtype) => quantFormat(dtype).quantize !== undefined);
    const plain = QUANTIZE_TARGETS.filter(({ isMix }) => !isMix).map(({ name }) => name);
    expect(plain.toSorted()).toEqual(writable.toSorted());
    expect(QUANTIZE_TARGETS.filter(({ isMix }) => isMix).map(({ name }) => name)).toEqual(['q4_k_m', 'q5_k_m']);
  });

  it('are found in any case, and an unknown one is refused', () => {
    expect(findQuantizeTarget('Q4_K_M').fileType).toBe(15);
    expect(() => findQuantizeTarget('iq4_xs')).toThrow(/'iq4_xs' is none of f32/);
  });
});

describe('chooseWeightType', () => {
  it.each([
    ['blk.0.attn_norm.weight', [256]],
    ['blk.0.attn_q.bias', [256]],
    ['rope_freqs.weight', [32]],
    ['blk.0.attn_q_norm.weight', [2, 64]],
    ['blk.0.ffn_gate_inp.weight', [8, 256]],
    ['one_row.weight', [1, 256]],
    ['matrix.without.the.word', [256, 256]],
  ])('leaves %s %j as it is', (name, shape) => {
    expect(choose(name, 'q4_k_m', { shape })).toBeUndefined();
  });

  it('keeps the output finer, also where it is the embedding, unless pure', () => {
    expect(choose('output.weight', 'q4_0')).toBe('q6_k');
    expect(choose('token_embd.weight', 'q4_0')).toBe('q4_0');
    expect(choose('token_embd.weight', 'q4_0', { isTied: true })).toBe('q6_k');
    expect(choose('output.weight', 'q8_0')).toBe('q8_0');
    expect(choose('output.weight', 'f16')).toBe('f16');
    expect(choose('output.weight', 'q4_0', { isPure: true })).toBe('q4_0');
  });

  // llama-quantize's table for 16 layers: the first and last two, and every third between.
  it('gives the sensitive matrices of a mix more bits in certain layers', () => {
    const finer = Array.from({ length: 16 }, (_, i) => i).filter(
      (layer) => choose(`blk.${layer}.ffn_down.weight`, 'q4_k_m') === 'q6_k',
    );
    expect(finer).toEqual([0, 1, 4, 7, 10, 13, 14, 15]);
    expect(choose('blk.0.attn_v.weight', 'q5_k_m')).toBe('q6_k');
    expect(choose('blk.2.attn_v.weight', 'q5_k_m')).toBe('q5_k');
    expect(choose('blk.0.attn_v.weight', 'q4_k')).toBe('q4_k');
    expect(choose('blk.0.attn_k.weight', 'q4_k_m')).toBe('q4_k');
    expect(choose('blk.0.attn_qkv.weight', 'q4_k_m')).toBe('q5_k');
  });

  it('falls back where quant blocks do not fill the rows', () => {
    const rows = (length: number) => ({ shape: [4, length] });
    expect(choose('blk.3.attn_q.weight', 'q4_k', rows(96))).toBe('q5_0');
    expect(choose('blk.3.attn_q.weight', 'q5_k', rows(96))).toBe('q5_1');
    expect(choose('blk.3.attn_q.weight', 'q6_k', rows(96))).toBe('q8_0');
    expect(choose('output.weight', 'q4_0', rows(96))).toBe('q8_0');
    expect(choose('output.weight', 'q4_k', rows(96))).toBe('q8_0');
    expect(choose('blk.3.ffn_down.weight', 'q4_0', rows(172))).toBe('f16');
    expect(choose('blk.3.ffn_down.weight', 'q4_k_m', rows(172))).toBe('f16');
  });
});
