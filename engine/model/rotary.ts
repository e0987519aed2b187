/** Turns a rope configuration into the table of cosines and sines that the `rope` op reads.
 *
 * Every scaling scheme changes only two things: how fast each pair of dimensions turns (its inverse frequency), and
 * a common factor on the rotated values. So all of them end here, and no kernel knows that they exist.
 * Everything is computed in float64 and rounded once, on writing to the table. */
import type { RopeScaling, RotaryConfig } from './rotary-config.ts';

/** YaRN's recommended temperature for a context `factor` times longer (eq. 22). */
export function yarnAttentionFactor(factor: number): number {
  return factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1;
}

/** Radians per position for each of the numRotaryDims / 2 pairs, scaled.
 * Source  Su et al. 2021, section 3.4.3: theta_i = base^(-2i/d) */
export function inverseFrequencies(rotary: RotaryConfig): Float64Array {
  const { numRotaryDims, theta } = rotary;
  const frequencies = new Float64Array(numRotaryDims / 2);
  for (let i = 0; i < frequencies.length; i++) frequencies[i] = theta ** ((-2 * i) / numRotaryDims);
  scaleFrequencies(frequencies, rotary);
  return frequencies;
}

function scaleFrequencies(frequencies: Float64Array, rotary: RotaryConfig): void {
  const { scaling } = rotary;
  switch (scaling.kind) {
    case 'none':
      return;
    case 'linear':
      for (let i = 0; i < frequencies.length; i++) frequencies[i]! /= scaling.factor;
      return;
    case 'factors':
      for (let i = 0; i < frequencies.length; i++) frequencies[i]! /= scaling.factors[i]!;
      return;
    case 'llama3':
      for (let i = 0; i < frequencies.length; i++) frequencies[i] = scaleLlama3(frequencies[i]!, scaling);
      return;
    case 'yarn':
      scaleYarn(frequencies, rotary, scaling);
      return;
    default:
      scaling satisfies never;
  }
}

/** Source  Llama 3.1's reference implementation, `apply_scaling`: how many wavelengths fit into the original context
 * decides between keeping the frequency, dividing it, and the linear blend of both. */
function scaleLlama3(frequency: number, scaling: RopeScaling & { kind: 'llama3' }): number {
  const turns = (scaling.originalContextLength * frequency) / (2 * Math.PI);
  if (turns > scaling.highFreqFactor) return frequency;
  if (turns < scaling.lowFreqFactor) return frequency / scaling.factor;
  const keep = (turns - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor);
  return frequency * (keep + (1 - keep) / scaling.factor);
}

/** Source  Peng et al. 2023, eqs. 17 to 23. Pairs that turn more than `betaFast` times in the original context stay,
 * those below `betaSlow` are interpolated; the ramp between is linear in the pair's index. */
function scaleYarn(frequencies: Float64Array, rotary: RotaryConfig, scaling: RopeScaling & { kind: 'yarn' }): void {
  const { numRotaryDims, theta } = rotary;
  const indexAtTurns = (turns: number): number =>
    (numRotaryDims * Math.log(scaling.originalContextLength / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(0, Math.floor(indexAtTurns(scaling.betaFast)));
  const high = Math.min(numRotaryDims - 1, Math.ceil(indexAtTurns(scaling.betaSlow)));
  for (let i = 0; i < frequencies.length; i++) {
    const ramp = Math.min(1, Math.max(0, (i - low) / Math.max(0.001, high - low)));
    const kept = frequencies[i]!;
    frequencies[i] = (kept / scaling.factor) * ramp + kept * (1 - ramp);
  }
}

/** The `rope` op's table: row p holds cos, sin, cos, sin, ... of the pairs' angles at position p.
 * Shape  [numPositions, numRotaryDims] f32, 4 * numPositions * numRotaryDims bytes */
export function buildRotaryTable(rotary: RotaryConfig, numPositions: number): Float32Array {
  const frequencies = inverseFrequencies(rotary);
  const scale = rotary.scaling.kind === 'yarn' ? rotary.scaling.attentionFactor : 1;
  const table = new Float32Array(numPositions * rotary.numRotaryDims);
  let at = 0;
  for (let position = 0; position < numPositions; position++) {
    for (let i = 0; i < frequencies.length; i++) {
      const angle = position * frequencies[i]!;
      table[at++] = Math.cos(angle) * scale;
      table[at++] = Math.sin(angle) * scale;
    }
  }
  return table;
}
