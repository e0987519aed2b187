/** A step that is played from its tape computes what its ops would. */
import { afterEach, describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '../../../../engine/errors.ts';
import { createGpujsBackend } from '../../../../engine/kernels/gpujs/gpujs-backend.ts';
import { createWebGpuBackend, type WebGpuBackend } from '../../../../engine/kernels/webgpu/webgpu-backend.ts';
import type { Tensor } from '../../../../engine/tensor/tensor.ts';
import { randomValues } from '../../../helpers/arbitraries-kernels.ts';
import { gpuSkipNote, hasGpu } from '../../../helpers/gpu.ts';

const BACKENDS = { webgpu: () => createWebGpuBackend({ sectionSize: 64 }), gpujs: () => createGpujsBackend() };
const [NH, D, BS, NUM_BLOCKS] = [2, 32, 16, 10];

let backend: WebGpuBackend;
afterEach(() => backend.close());

/** One sequence that grows by a token a step, as in decoding. */
class Decoding {
  readonly program = {};
  numRuns = 0;
  readonly #cache = (): Tensor => backend.allocate('f32', [NUM_BLOCKS, NH, BS, D], 'kv');
  readonly keyCache = this.#cache();
  readonly valueCache = this.#cache();
  readonly #row = (): Tensor => backend.allocate('f32', [1, NH, D], 'scratch');
  readonly q = this.#row();
  readonly k = this.#row();
  readonly v = this.#row();
  readonly out = this.#row();
  readonly table = backend.allocate('f32', [NUM_BLOCKS * BS, D], 'scratch');
  readonly positions = backend.allocate('i32', [1], 'scratch');
  readonly slotMapping = backend.allocate('i32', [1], 'scratch');
  readonly seqLens = backend.allocate('i32', [1], 'scratch');
  readonly queryStartLoc = backend.allocate('i32', [2], 'scratch');
  readonly blockTables = backend.allocate('i32', [1, NUM_BLOCKS], 'scratch');

  constructor() {
    backend.upload(this.queryStartLoc, Int32Array.of(0, 1));
    backend.upload(this.table, randomValues(9, NUM_BLOCKS * BS * D));
  }

  /** @param pages  where the sequence lies */
  async step(position: number, pages: readonly number[], repeats: boolean): Promise<Float32Array> {
    const { q, k, v, out, table, positions, slotMapping, blockTables, queryStartLoc, seqLens } = this;
    const { keyCache, valueCache } = this;
    for (const [i, tensor] of [q, k, v].entries()) backend.upload(tensor, randomValues(3 * position + i, NH * D));
    backend.upload(positions, Int32Array.of(position));
    backend.upload(slotMapping, Int32Array.of(pages[Math.floor(position / BS)]! * BS + (position % BS)));
    backend.upload(seqLens, Int32Array.of(position + 1));
    backend.upload(blockTables, Int32Array.from(pages));
    const ops = (): void => {
      this.numRuns++;
      backend.rope({ x: q, positions, table, style: 'neox' });
      backend.rope({ x: k, positions, table, style: 'neox' });
      backend.writeKv({ k, v, keyCache, valueCache, slotMapping });
      backend.pagedAttention({ q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale: 0.2, out });
      backend.add({ a: out, b: v, out });
    };
    if (repeats) backend.repeat(this.program, 'one token', ops);
    else ops();
    return backend.download(out);
  }
}

describe.skipIf(!hasGpu)(`a tape${gpuSkipNote}`, () => {
  it.each(['webgpu', 'gpujs'] as const)('of %s gives the bits that its ops give, wherever pages lie', async (name) => {
    backend = await BACKENDS[name]();
    const [taped, plain] = [new Decoding(), new Decoding()];
    const pages = [3, 7, 1, 0, 9, 2, 8, 4, 6, 5];
    const results = [];
    for (let position = 0; position < 140; position++) {
      const expected = await plain.step(position, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], false);
      results.push(Buffer.from((await taped.step(position, pages, true)).buffer).equals(Buffer.from(expected.buffer)));
    }
    expect(results).toEqual(Array(140).fill(true));
    // Recorded anew only when there is more to do: another section of 64 keys.
    expect(taped.numRuns).toBe(3);
  });

  it('is played as one submission, with as many dispatches', async () => {
    backend = await BACKENDS.webgpu();
    const decoding = new Decoding();
    const counts = [];
    for (let position = 0; position < 3; position++) {
      const before = backend.commandCounts;
      await decoding.step(position, [0], true);
      const after = backend.commandCounts;
      counts.push([after.submissions - before.submissions, after.dispatches - before.dispatches]);
    }
    expect(decoding.numRuns).toBe(1);
    expect(counts).toEqual([counts[0], counts[0], counts[0]]);
  });

  it.each(['webgpu', 'gpujs'] as const)('of %s refuses what its ops would refuse', async (name) => {
    backend = await BACKENDS[name]();
    const decoding = new Decoding();
    await decoding.step(0, [0], true);
    const expected = await decoding.step(1, [0], true);
    expect(decoding.numRuns).toBe(1);
    await expect(decoding.step(1, [NUM_BLOCKS], true)).rejects.toThrow(InvalidArgumentError);
    await expect(decoding.step(NUM_BLOCKS * BS, [0], true)).rejects.toThrow(/rope positions/);
    // Nothing of the refused steps was left behind.
    expect(await decoding.step(1, [0], true)).toEqual(expected);
  });

  it('is forgotten with any buffer, and with another program', async () => {
    backend = await BACKENDS.webgpu();
    const decoding = new Decoding();
    const other = backend.allocate('f32', [4], 'scratch');
    await decoding.step(0, [0], true);
    backend.free(other);
    await decoding.step(1, [0], true);
    expect(decoding.numRuns).toBe(2);
    const second = new Decoding();
    await second.step(0, [0], true);
    expect(second.numRuns).toBe(1);
  });

  it('holds no copies of pages: those are made anew each time', async () => {
    backend = await BACKENDS.webgpu();
    const allocate = (): Tensor => backend.allocate('f32', [3, 1, 1, 4], 'kv');
    const [keyCache, valueCache] = [allocate(), allocate()];
    const copies = backend.allocate('i32', [1, 2], 'scratch');
    const x = backend.allocate('f32', [1, 1, 4], 'scratch');
    const slotMapping = backend.allocate('i32', [1], 'scratch');
    backend.upload(x, Float32Array.of(1, 2, 3, 4));
    backend.writeKv({ k: x, v: x, keyCache, valueCache, slotMapping });
    const program = {};
    for (const target of [0, 1, 2]) {
      backend.upload(copies, Int32Array.of(0, target));
      backend.repeat(program, 'one page', () => backend.copyBlocks({ keyCache, valueCache, copies }));
      const page = new Float32Array(4);
      await backend.readBytes(keyCache, 16 * target, new Uint8Array(page.buffer));
      expect([...page]).toEqual([1, 2, 3, 4]);
    }
  });

  it('can be followed by other ops in the same submission', async () => {
    backend = await BACKENDS.webgpu();
    const allocate = (): Tensor => backend.allocate('f32', [4], 'scratch');
    const [a, b, out] = [allocate(), allocate(), allocate()];
    backend.upload(a, Float32Array.of(1, 2, 3, 4));
    const program = {};
    for (let i = 0; i < 2; i++) {
      backend.repeat(program, 'sum', () => backend.add({ a, b: a, out: b }));
      backend.add({ a, b, out });
      backend.rmsNorm({ x: out.reshape([1, 4]), eps: 0, out: b.reshape([1, 4]) });
      expect([...(await backend.download(out))]).toEqual([3, 6, 9, 12]);
    }
  });
});
