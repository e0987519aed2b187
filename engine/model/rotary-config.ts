/** How a model encodes positions. What the numbers do is said in `rotary.ts`. */
import type { RopeStyle } from '../kernels/ops.ts';

export type RopeScaling =
  | { readonly kind: 'none' }
  /** Positions divided by `factor` (Chen et al. 2023, "Position Interpolation"). */
  | { readonly kind: 'linear'; readonly factor: number }
  /** Slow pairs divided by `factor`, fast pairs kept, a ramp between (Llama 3.1). */
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalContextLength: number;
    }
  /** The ramp counted in turns over the original context, and a temperature (Peng et al. 2023, "YaRN"). */
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly originalContextLength: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Multiplies cosines and sines. */
      readonly attentionFactor: number;
    }
  /** Each pair's frequency divided by its own factor, as a GGUF file's `rope_freqs.weight` stores it. */
  | { readonly kind: 'factors'; readonly factors: readonly number[] };

export interface RotaryConfig {
  readonly style: RopeStyle;
  /** How many of a head's dimensions are rotated; even, at most `headDim`. */
  readonly numRotaryDims: number;
  /** Base of the geometric series of wavelengths ("rope theta"). */
  readonly theta: number;
  readonly scaling: RopeScaling;
}
