import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import { fingerprintModel } from '../../../engine/loader/model-fingerprint.ts';
import { openModel } from '../../../engine/loader/open-model.ts';
import type { ModelConfig } from '../../../engine/model/model-config.ts';
import type { StoredTensor, TensorFile } from '../../../formats/tensor-file.ts';
import { hasFixtures, sharedModelPath, skipNote } from '../../helpers/fixtures.ts';

const CONFIG = {
  architecture: 'llama',
  name: 'one',
  numLayers: 2,
  rotary: { style: 'norm', theta: 10_000, numRotaryDims: 4, scaling: { type: 'none' } },
} as unknown as ModelConfig;

interface Content {
  readonly name?: string;
  readonly dtype?: string;
  readonly shape?: readonly number[];
  readonly bytes: Uint8Array;
  /** The shard, and where in it. */
  readonly file?: string;
  readonly byteOffset?: number;
}

/** A model of these tensors in memory, counting what is read of it. */
function modelOf(contents: readonly Content[]) {
  const numBytesRead = { value: 0 };
  const bytesOf = new Map<string, Uint8Array>();
  const tensors = new Map<string, StoredTensor>();
  for (const [i, content] of contents.entries()) {
    const { name = `t${i}`, dtype = 'f32', bytes, file = 'x', byteOffset = 0 } = content;
    bytesOf.set(name, bytes);
    const { length: byteLength } = bytes;
    tensors.set(name, { name, dtype, shape: content.shape ?? [byteLength / 4], byteLength, file, byteOffset });
  }
  const file: Pick<TensorFile, 'tensors' | 'read'> = {
    tensors,
    read: async (tensor, byteOffset, target) => {
      expect(byteOffset + target.length).toBeLessThanOrEqual(tensor.byteLength);
      numBytesRead.value += target.length;
      target.set(bytesOf.get(tensor.name)!.subarray(byteOffset, byteOffset + target.length));
    },
  };
  return { file, numBytesRead };
}

const bytes = (length: number, fill = 0): Uint8Array => new Uint8Array(length).fill(fill);
const of = (contents: readonly Content[], config = CONFIG): Promise<string> =>
  fingerprintModel(modelOf(contents).file, config);

describe('fingerprintModel', () => {
  it('is the same for the same model, whatever the order, the shards and the name', async () => {
    const [a, b] = [
      { name: 'a', bytes: bytes(40, 1) },
      { name: 'b', bytes: bytes(80, 2) },
    ];
    const expected = await of([a, b]);
    expect(expected).toMatch(/^[0-9a-f]{64}$/);
    expect(await of([b, a])).toBe(expected);
    expect(await of([a, { ...b, file: 'another shard', byteOffset: 64 }])).toBe(expected);
    const shuffled = Object.fromEntries(Object.entries(CONFIG).reverse()) as unknown as ModelConfig;
    expect(await of([a, b], { ...shuffled, name: 'two' })).toBe(expected);
    // The scheme must not change by accident: files on disk are filed under it.
    expect(expected).toMatchInlineSnapshot(`"c7a16cf01bee1519caf608fd7b3bb41663a69a3ad703743fd100a90f3768435e"`);
  });

  it('differs with any hyperparameter, name, type, shape and byte', async () => {
    const base = { name: 'a', dtype: 'f32', shape: [4, 5], bytes: bytes(80) };
    const changedBytes = Array.from({ length: 80 }, (_, i) => base.bytes.with(i, 1));
    const fingerprints = await Promise.all([
      of([base]),
      of([base], { ...CONFIG, numLayers: 3 }),
      of([base], { ...CONFIG, rotary: { ...CONFIG.rotary, theta: 10_001 } }),
      of([base], { ...CONFIG, slidingWindow: 4 }),
      of([{ ...base, name: 'b' }]),
      of([{ ...base, dtype: 'i8' }]),
      of([{ ...base, shape: [5, 4] }]),
      of([base, { ...base, name: 'b' }]),
      of([]),
      ...changedBytes.map((changed) => of([{ ...base, bytes: changed }])),
    ]);
    expect(new Set(fingerprints).size).toBe(fingerprints.length);
  });

  it('reads little of a large model: the start, the middle and the end of each tensor', async () => {
    const large = { bytes: bytes(2 ** 24) };
    const { file, numBytesRead } = modelOf([large, { bytes: bytes(5000) }, { bytes: bytes(0) }]);
    const expected = await fingerprintModel(file, CONFIG);
    expect(numBytesRead.value).toBe(6 * 4096);
    for (const at of [0, 4095, 2 ** 23, 2 ** 24 - 1]) {
      const changed = { bytes: large.bytes.with(at, 1) };
      expect(await of([changed, { bytes: bytes(5000) }, { bytes: bytes(0) }])).not.toBe(expected);
    }
  });

  it('reads all of a small one', async () => {
    const { file, numBytesRead } = modelOf([{ bytes: bytes(3 * 2 ** 20 + 4) }, { bytes: bytes(8) }]);
    await fingerprintModel(file, CONFIG);
    expect(numBytesRead.value).toBe(3 * 2 ** 20 + 12);
  });

  it('tells the bundled models apart', async () => {
    const paths = [bundledModelPath('story'), bundledModelPath('draft')];
    expect(new Set(await Promise.all(paths.map(fingerprintOf))).size).toBe(2);
  });
});

describe.skipIf(!hasFixtures)(`fingerprints of the reference models${skipNote}`, () => {
  it('depend on the precision, and on nothing else about the copy', async () => {
    const paths = ['f16', 'q8_0'].map((type) => sharedModelPath(`story-draft-${type}.gguf`));
    const [f16, q8] = await Promise.all(paths.map(fingerprintOf));
    expect(f16).not.toBe(q8);
    expect(q8).toBe(await fingerprintOf(bundledModelPath('draft')));
  });
});

async function fingerprintOf(path: string): Promise<string> {
  const model = await openModel(path);
  try {
    return await fingerprintModel(model.file, await model.readConfig());
  } finally {
    await model.close();
  }
}
