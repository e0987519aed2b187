import { describe, expect, it } from 'vitest';
import { MODEL_SHAPES, resolveShape, type ShapeOverrides } from '../../../engine/synth/model-shape.ts';

describe('resolveShape', () => {
  it.each(MODEL_SHAPES.map(({ name }) => name))('%s is possible', (name) => {
    expect(resolveShape(name)).toEqual(MODEL_SHAPES.find((shape) => shape.name === name));
  });

  it('gives heads together the width of the model when either changes, unless told otherwise', () => {
    expect(resolveShape('tiny', { hiddenSize: 512 }).headDim).toBe(64);
    expect(resolveShape('tiny', { numHeads: 4, numKvHeads: 2 }).headDim).toBe(64);
    expect(resolveShape('tiny', { hiddenSize: 512, headDim: 32 }).headDim).toBe(32);
    expect(resolveShape('tiny', { numLayers: 9, hiddenSize: undefined })).toMatchObject({ numLayers: 9, headDim: 32 });
  });

  it.each([
    [{ hiddenSize: 100 }, /headDim: 12\.5/],
    [{ numKvHeads: 3 }, /numKvHeads: 3 does not divide/],
    [{ headDim: 31 }, /headDim: 31 is odd/],
    [{ ropeTheta: -1 }, /ropeTheta/],
    [{ vocabSize: 257 }, /vocabSize: 257 is below 258/],
    [{ vocabSize: 2 ** 21 }, /vocabSize: 2097152 is above/],
  ] as [ShapeOverrides, RegExp][])('%j is refused', (overrides, message) => {
    expect(() => resolveShape('tiny', overrides)).toThrow(message);
  });

  it('names the known shapes for an unknown one', () => {
    expect(() => resolveShape('huge')).toThrow(/'huge' is none of llama-3\.1-8b, llama-3\.2-1b, smollm2-135m, tiny/);
  });
});
