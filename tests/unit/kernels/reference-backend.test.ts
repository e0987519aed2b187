/** What the reference backend promises beyond the conformance suite (`conformance/memory.ts` has the rest). */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  EngineClosedError,
  InvalidArgumentError,
  OutOfMemoryError,
  ShapeError,
  UnsupportedError,
} from '../../../engine/errors.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { Tensor } from '../../../engine/tensor/tensor.ts';

const NOTHING = { weights: 0, kv: 0, scratch: 0 };

describe('ReferenceBackend', () => {
  let backend: ReferenceBackend;
  beforeEach(() => {
    backend = new ReferenceBackend();
  });
  afterEach(() => backend.close());

  it('counts exactly the bytes of the format', () => {
    backend.allocate('q4_0', [3, 64], 'weights');
    backend.allocate('q8_0', [2, 1, 4, 32], 'kv');
    backend.allocate('i32', [5], 'scratch');
    backend.allocate('f32', [0, 5], 'scratch');
    expect(backend.memoryUsage()).toEqual({ weights: 3 * 2 * 18, kv: 8 * 34, scratch: 20 });
  });

  it('hands out a copy of its counts', () => {
    (backend.memoryUsage() as { scratch: number }).scratch = 5;
    expect(backend.memoryUsage()).toEqual(NOTHING);
  });

  it('lets go of freed memory although the tensor is still held', () => {
    const tensor = backend.allocate('f32', [1000], 'scratch');
    backend.free(tensor);
    expect(() => tensor.buffer.bytes).toThrow(InvalidArgumentError);
  });

  it('frees through a reshaped view, but not through a part', () => {
    const tensor = backend.allocate('f32', [4, 6], 'kv');
    expect(() => backend.free(tensor.slice(0, 2))).toThrow(/view of a part/);
    expect(() => backend.free(tensor.slice(2, 4))).toThrow(/view of a part/);
    backend.free(tensor.reshape([24]));
    expect(backend.memoryUsage()).toEqual(NOTHING);
  });

  it('says why it does not take a tensor', () => {
    const a = backend.allocate('f32', [4], 'scratch');
    const freed = backend.allocate('f32', [4], 'scratch');
    backend.free(freed);
    const sibling = new ReferenceBackend().allocate('f32', [4], 'scratch');
    const foreign = new Tensor('f32', [4], { owner: 'wasm', byteLength: 16 });
    const outside = new Tensor('f32', [4], a.buffer, 4);
    const skewed = new Tensor('f32', [3], a.buffer, 2);
    const addTo = (b: Tensor) => () => backend.add({ a: b, b, out: b });
    expect(addTo(freed)).toThrow('add a: f32[4] was freed');
    expect(addTo(sibling)).toThrow('belongs to another reference backend');
    expect(addTo(foreign)).toThrow("belongs to the backend 'wasm', not to 'reference'");
    expect(addTo(outside)).toThrow('bytes 4 to 20 leave its buffer of 16');
    expect(addTo(skewed)).toThrow('must start at a multiple of 4 bytes, got 2');
    expect(() => backend.free(freed)).toThrow('free tensor: f32[4] was freed');
  });

  it('reports memory that cannot be had, and counts nothing for it', () => {
    expect(() => backend.allocate('f32', [2 ** 49], 'kv')).toThrow(OutOfMemoryError);
    expect(() => backend.allocate('f32', [2 ** 49], 'kv')).toThrow(/no memory for kv f32\[562949953421312\]/);
    expect(backend.memoryUsage()).toEqual(NOTHING);
  });

  it('refuses shapes and dtypes that cannot be', () => {
    expect(() => backend.allocate('f32', [-1], 'kv')).toThrow(InvalidArgumentError);
    expect(() => backend.allocate('f32', [1.5], 'kv')).toThrow(InvalidArgumentError);
    expect(() => backend.allocate('f32', [2 ** 40, 2 ** 40], 'kv')).toThrow(InvalidArgumentError);
    expect(() => backend.allocate('q8_0', [4, 33], 'kv')).toThrow(ShapeError);
    expect(() => backend.allocate('f64' as 'f32', [4], 'kv')).toThrow(UnsupportedError);
    expect(() => backend.allocate('f32', [4], 'toys' as 'kv')).toThrow(InvalidArgumentError);
    expect(backend.memoryUsage()).toEqual(NOTHING);
  });

  it('loads a weight in chunks of at most 4 MiB, straight into place', async () => {
    const source = Buffer.from(Uint32Array.from({ length: 3 * 2 ** 20 }, (_, i) => i).buffer);
    const sizes: number[] = [];
    const weight = await backend.loadWeight('f32', [3, 2 ** 20], async (byteOffset, target) => {
      sizes.push(target.length);
      target.set(source.subarray(byteOffset, byteOffset + target.length));
    });
    expect(sizes).toEqual([2 ** 22, 2 ** 22, 2 ** 22]);
    expect(source.equals(weight.buffer.bytes)).toBe(true);
  });

  it('gives up a load when it is closed meanwhile', async () => {
    const load = backend.loadWeight('f32', [2, 2 ** 21], () => backend.close());
    await expect(load).rejects.toThrow(EngineClosedError);
    expect(backend.memoryUsage()).toEqual(NOTHING);
  });

  it('refuses uploads and downloads that do not fit', async () => {
    const floats = backend.allocate('f32', [4], 'scratch');
    const ints = backend.allocate('i32', [4], 'scratch');
    expect(() => backend.upload(floats, new Float32Array(5))).toThrow(ShapeError);
    expect(() => backend.upload(floats, new Int32Array(4))).toThrow(/Int32Array does not fit a tensor of f32\[4\]/);
    expect(() => backend.upload(ints, new Float32Array(4))).toThrow(InvalidArgumentError);
    await expect(backend.download(ints)).rejects.toThrow(UnsupportedError);
  });

  it('reads and writes stored bytes of a view, as they are when asked', async () => {
    const tensor = backend.allocate('f16', [3, 4], 'kv');
    const page = tensor.slice(1, 2);
    backend.writeBytes(page, 2, Uint8Array.of(1, 2, 3));
    expect([...tensor.buffer.bytes]).toEqual([...new Array(10).fill(0), 1, 2, 3, ...new Array(11).fill(0)]);
    const target = new Uint8Array(4);
    const read = backend.readBytes(page, 1, target);
    backend.writeBytes(page, 2, Uint8Array.of(9, 9, 9));
    await read;
    expect([...target]).toEqual([0, 1, 2, 3]);
    expect(() => backend.writeBytes(page, 6, new Uint8Array(3))).toThrow(
      'writeBytes byteOffset: bytes 6 to 9 leave f16[1, 4], which has 8',
    );
    backend.free(tensor);
    await expect(backend.readBytes(page, 0, target)).rejects.toThrow('was freed');
  });

  it('downloads what the values were when asked', async () => {
    const tensor = backend.allocate('f32', [1], 'scratch');
    backend.upload(tensor, Float32Array.of(1));
    const before = backend.download(tensor);
    backend.upload(tensor, Float32Array.of(2));
    expect([...(await before)]).toEqual([1]);
  });

  it('answers supports with a reason and never throws for wrong arguments', () => {
    const x = backend.allocate('f32', [2, 4], 'scratch');
    const rows = backend.allocate('i32', [1], 'scratch');
    expect(backend.supports('gatherRows', { x, rows, out: backend.allocate('f32', [1, 4], 'scratch') })).toBe(true);
    expect(backend.supports('gatherRows', { x, rows, out: x })).toBe('gatherRows: expected out [R=1, H=4], got [2, 4]');
    expect(backend.supports('softmax' as 'add', { a: x, b: x, out: x })).toMatch(/must be one of/);
  });

  it('refuses everything after close', async () => {
    const tensor = backend.allocate('f32', [4], 'scratch');
    await backend.close();
    expect(() => backend.add({ a: tensor, b: tensor, out: tensor })).toThrow(EngineClosedError);
    expect(() => backend.upload(tensor, new Float32Array(4))).toThrow(EngineClosedError);
    expect(() => backend.free(tensor)).toThrow(EngineClosedError);
    await expect(backend.download(tensor)).rejects.toThrow(EngineClosedError);
    await expect(backend.readBytes(tensor, 0, new Uint8Array(1))).rejects.toThrow(EngineClosedError);
    expect(() => backend.writeBytes(tensor, 0, new Uint8Array(1))).toThrow(EngineClosedError);
    await expect(backend.loadWeight('f32', [1], async () => {})).rejects.toThrow(EngineClosedError);
  });
});
