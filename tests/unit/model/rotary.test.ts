import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildRotaryTable, inverseFrequencies, yarnAttentionFactor } from '../../../engine/model/rotary.ts';
import type { RopeScaling, RotaryConfig } from '../../../engine/model/rotary-config.ts';
import { fixturePath, hasFixtures, readF32, skipNote } from '../../helpers/fixtures.ts';

const rotary = (scaling: RopeScaling, numRotaryDims = 128, theta = 500_000): RotaryConfig => ({
  style: 'neox',
  numRotaryDims,
  theta,
  scaling,
});

const LLAMA_3_1 = {
  kind: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalContextLength: 8192,
} as const;

describe('inverse frequencies', () => {
  it('form a geometric series from 1 down to theta^-(1 - 2/d)', () => {
    const frequencies = inverseFrequencies(rotary({ kind: 'none' }, 8, 10_000));
    expect([...frequencies]).toEqual([1, 10_000 ** -0.25, 10_000 ** -0.5, 10_000 ** -0.75]);
  });

  it('linear scaling by f at position p is no scaling at position p / f', () => {
    const plain = buildRotaryTable(rotary({ kind: 'none' }, 16), 5);
    const scaled = buildRotaryTable(rotary({ kind: 'linear', factor: 4 }, 16), 17);
    for (let p = 0; p < 5; p++)
      expect(scaled.subarray(p * 4 * 16, p * 4 * 16 + 16)).toEqual(plain.subarray(p * 16, p * 16 + 16));
  });

  it('llama3 scaling keeps fast pairs, divides slow ones, and is monotonic between', () => {
    const plain = inverseFrequencies(rotary({ kind: 'none' }));
    const scaled = inverseFrequencies(rotary(LLAMA_3_1));
    const ratios = Array.from(plain, (frequency, i) => frequency / scaled[i]!);
    expect(ratios[0]).toBe(1);
    expect(ratios.at(-1)).toBeCloseTo(8, 12);
    for (let i = 1; i < ratios.length; i++) expect(ratios[i]!).toBeGreaterThanOrEqual(ratios[i - 1]!);
    // Wavelengths of 8192 / 4 and 8192 positions are the two ends of the ramp.
    for (const [i, frequency] of plain.entries()) {
      const wavelength = (2 * Math.PI) / frequency;
      if (wavelength < 2048) expect(ratios[i]).toBe(1);
      if (wavelength > 8192) expect(ratios[i]).toBeCloseTo(8, 12);
    }
  });

  it.skipIf(!hasFixtures)(`llama3 scaling gives the factors that a converter wrote${skipNote}`, async () => {
    const factors = await readF32(fixturePath('kernels/rope_norm_llama3_ff.freq_factors.f32'));
    const plain = inverseFrequencies(rotary({ kind: 'none' }));
    const scaled = inverseFrequencies(rotary(LLAMA_3_1));
    for (const [i, factor] of factors.entries()) expect(plain[i]! / scaled[i]!).toBeCloseTo(factor, 4);
    const byFactors = inverseFrequencies(rotary({ kind: 'factors', factors: [...factors] }));
    for (const [i, frequency] of byFactors.entries()) expect(frequency / scaled[i]!).toBeCloseTo(1, 5);
  });

  it('yarn keeps pairs that turn often, interpolates those that hardly turn, and multiplies the table', () => {
    const scaling = {
      kind: 'yarn',
      factor: 4,
      originalContextLength: 4096,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: yarnAttentionFactor(4),
    } as const;
    const config = rotary(scaling, 128, 10_000);
    const plain = inverseFrequencies(rotary({ kind: 'none' }, 128, 10_000));
    const scaled = inverseFrequencies(config);
    for (const [i, frequency] of plain.entries()) {
      const turns = (4096 * frequency) / (2 * Math.PI);
      if (turns > 34) expect(scaled[i]).toBe(frequency);
      if (turns < 0.95) expect(scaled[i]! * 4).toBeCloseTo(frequency, 12);
      expect(scaled[i]!).toBeLessThanOrEqual(frequency);
      expect(scaled[i]!).toBeGreaterThanOrEqual(frequency / 4);
    }
    // Peng et al. 2023, eq. 22, for s = 4.
    expect(buildRotaryTable(config, 1)[0]).toBe(Math.fround(0.1 * Math.log(4) + 1));
  });
});

it('every entry of the table is a rotation: cos² + sin² = 1, and position 0 turns nothing', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 32 }), fc.double({ min: 2, max: 1e7, noNaN: true }), (pairs, theta) => {
      const table = buildRotaryTable(rotary({ kind: 'none' }, pairs * 2, theta), 50);
      for (let i = 0; i < table.length; i += 2) expect(Math.hypot(table[i]!, table[i + 1]!)).toBeCloseTo(1, 6);
      for (let i = 0; i < pairs * 2; i++) expect(table[i]).toBe(i % 2 === 0 ? 1 : 0);
    }),
  );
});
