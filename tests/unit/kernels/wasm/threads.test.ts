/** Several threads over one memory give the bits that one thread gives, for every op and any number of threads. */
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpName } from '../../../../engine/kernels/ops.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { wasmBufferCodec } from '../../../../engine/kernels/wasm/wasm-worker.ts';
import { Barrier } from '../../../../engine/runner/barrier.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { Tensor } from '../../../../engine/tensor/tensor.ts';
import { randomInts, randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
import type { PartWorkerData } from './part-worker.ts';

interface Call {
  readonly op: OpName;
  readonly args: Readonly<Record<string, unknown>>;
  /** What the op leaves behind. */
  readonly result: Tensor;
}

const T = 11;

class Calls {
  readonly calls: Call[] = [];
  readonly #backend: WasmBackend;

  constructor(backend: WasmBackend) {
    this.#backend = backend;
  }

  floats(shape: readonly number[], seed: number): Tensor {
    const tensor = this.#backend.allocate('f32', shape, 'scratch');
    this.#backend.upload(tensor, randomValues(seed, tensor.numElements));
    return tensor;
  }

  ints(shape: readonly number[], values: ArrayLike<number>): Tensor {
    const tensor = this.#backend.allocate('i32', shape, 'scratch');
    this.#backend.upload(tensor, Int32Array.from(values));
    return tensor;
  }

  weight(dtype: FloatDType, shape: readonly [number, number]): Promise<Tensor> {
    const bytes = randomWeightBytes(dtype, 5, shape[0] * shape[1]);
    return this.#backend.loadWeight(dtype, shape, async (start, target) => {
      target.set(bytes.subarray(start, start + target.length));
    });
  }

  add(op: OpName, args: Readonly<Record<string, unknown>>, result: Tensor): void {
    this.calls.push({ op, args, result });
  }
}

/** Sizes that no number of threads divides; outputs never serve as inputs, so the calls can be repeated. */
async function allCalls(backend: WasmBackend): Promise<readonly Call[]> {
  const c = new Calls(backend);
  const out = (...shape: number[]) => c.floats(shape, 99);
  for (const dtype of ['q8_0', 'q4_0', 'f32', 'f16', 'bf16', 'q6_k'] as const) {
    const numIn = dtype === 'q6_k' ? 256 : 96;
    const weight = await c.weight(dtype, [43, numIn]);
    const logits = out(T, 43);
    c.add('matmul', { x: c.floats([T, numIn], 1), weight, bias: c.floats([43], 2), out: logits }, logits);
    const rows = out(T, numIn);
    c.add('embed', { tokenIds: c.ints([T], randomInts(3, T, 43)), weight, out: rows }, rows);
  }
  // So many activations that the threads pack them together, in chunks.
  const [numTokens, numIn] = [203, 4096];
  const tall = await c.weight('q8_0', [19, numIn]);
  const product = out(numTokens, 19);
  c.add('matmul', { x: c.floats([numTokens, numIn], 11), weight: tall, out: product }, product);
  const [x, y, sum, gated, normed] = [c.floats([T, 37], 4), c.floats([T, 37], 5), out(T, 37), out(T, 37), out(T, 37)];
  c.add('add', { a: x, b: y, out: sum }, sum);
  c.add('siluMul', { gate: x, up: y, out: gated }, gated);
  c.add('rmsNorm', { x, weight: c.floats([37], 6), eps: 1e-5, out: normed }, normed);
  const gathered = out(5, 37);
  c.add('gatherRows', { x, rows: c.ints([5], [3, 1, 10, 0, 3]), out: gathered }, gathered);
  const logprobs = out(T);
  c.add('tokenLogprobs', { logits: x, tokenIds: c.ints([T], randomInts(7, T, 37)), out: logprobs }, logprobs);

  for (const dtype of ['f32', 'f16', 'q8_0'] as const) {
    const pages = [4, 3, 4, 32];
    const [keyCache, valueCache] = [backend.allocate(dtype, pages, 'kv'), backend.allocate(dtype, pages, 'kv')];
    const [k, v] = [c.floats([T, 3, 32], 8), c.floats([T, 3, 32], 9)];
    const attended = out(T, 6, 32);
    const slotMapping = c.ints([T], [4, 5, 6, 7, 12, 13, 14, 15, 0, 1, 2]);
    const blockTables = c.ints([1, 3], [1, 3, 0]);
    const queryStartLoc = c.ints([2], [0, T]);
    const seqLens = c.ints([1], [T]);
    c.add('writeKv', { k, v, keyCache, valueCache, slotMapping }, k);
    const q = c.floats([T, 6, 32], 10);
    const lengths = { blockTables, queryStartLoc, seqLens };
    c.add('pagedAttention', { q, keyCache, valueCache, ...lengths, scale: 0.2, out: attended }, attended);
  }
  return c.calls;
}

function runThreads(backend: WasmBackend, calls: readonly Call[], numThreads: number): Promise<unknown> {
  const barrier = new Barrier(numThreads).buffer;
  const send = (value: unknown) =>
    value instanceof Tensor
      ? { dtype: value.dtype, shape: value.shape, buffer: wasmBufferCodec.encode(value.buffer) }
      : value;
  const sent = calls.map(({ op, args }) => ({
    op,
    args: Object.fromEntries(Object.entries(args).map(([name, value]) => [name, send(value)])),
  }));
  const workers = Array.from({ length: numThreads }, (_, part) => {
    const workerData: PartWorkerData = { attachment: backend.attachment, calls: sent, part, numThreads, barrier };
    const worker = new Worker(new URL('./part-worker.ts', import.meta.url), { workerData });
    return new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject));
  });
  return Promise.all(workers);
}

describe('wasm ops on several threads', () => {
  let backend: WasmBackend;
  beforeAll(() => {
    backend = new WasmBackend();
  });
  afterAll(() => backend.close());

  it.each([1, 2, 3])('%i threads give the same bits as the caller alone', async (numThreads) => {
    const calls = await allCalls(backend);
    for (const { op, args } of calls) backend[op](args as never);
    const alone = await Promise.all(calls.map(({ result }) => backend.download(result)));
    const outputs = calls.filter(({ op }) => op !== 'writeKv');
    for (const { result } of outputs) backend.upload(result, new Float32Array(result.numElements).fill(-1));
    await runThreads(backend, calls, numThreads);
    for (const [i, { op, args, result }] of calls.entries()) {
      const bits = (values: Float32Array) => new Uint32Array(values.buffer);
      const label = `${op} ${(args.weight as Tensor | undefined)?.dtype ?? ''}`;
      expect(bits(await backend.download(result)), label).toEqual(bits(alone[i]!));
    }
  });
});
