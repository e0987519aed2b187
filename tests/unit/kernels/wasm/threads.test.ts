/** Several threads over one memory give the bits that one thread gives, for every op and any number of threads. */
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OpName } from '../../../../engine/kernels/ops.ts';
import { WasmBackend } from '../../../../engine/kernels/wasm/wasm-backend.ts';
import { wasmBufferCodec } from '../../../../engine/kernels/wasm/wasm-worker.ts';
import { Barrier } from '../../../../engine/runner/barrier.ts';
import type { FloatDType } from '../../../../engine/tensor/dtype.ts';
import { Tensor } from '../../../../engine/tensor/tensor.ts';
import { permutation, randomInts, randomValues, randomWeightBytes } from '../../../helpers/arbitraries-kernels.ts';
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

  pages(dtype: FloatDType, shape: readonly number[]): Tensor {
    return this.#backend.allocate(dtype, shape, 'kv');
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
  for (const dtype of ['q8_0', 'q4_0', 'f32', 'f16', 'bf16', 'q4_k', 'q5_k', 'q6_k', 'q2_k', 'q5_1'] as const) {
    const numIn = dtype.endsWith('_k') ? 256 : 96;
    const weight = await c.weight(dtype, [43, numIn]);
    const logits = out(T, 43);
    c.add('matmul', { x: c.floats([T, numIn], 1), weight, bias: c.floats([43], 2), out: logits }, logits);
    const joined = out(T, 43);
    const residual = c.floats([T, 43], 4);
    c.add('matmul', { x: c.floats([T, numIn], 1), weight, bias: undefined, residual, out: joined }, joined);
    const rows = out(T, numIn);
    c.add('embed', { tokenIds: c.ints([T], randomInts(3, T, 43)), weight, out: rows }, rows);
  }
  // So many activations that the threads pack them together, in chunks.
  const [numTokens, numIn] = [203, 4096];
  const tall = await c.weight('q8_0', [19, numIn]);
  const product = out(numTokens, 19);
  c.add('matmul', { x: c.floats([numTokens, numIn], 11), weight: tall, out: product }, product);
  // Ops between which threads need not meet, with few activations and with so many.
  for (const size of [2, numTokens]) {
    const shared = c.floats([size, numIn], 13);
    for (const dtype of ['q8_0', 'q4_0', 'q4_k'] as const) {
      const result = out(size, 70);
      c.add('matmul', { x: shared, weight: await c.weight(dtype, [70, numIn]), out: result }, result);
    }
  }
  // One format of activations, and two.
  for (const size of [2, numTokens]) {
    for (const upDtype of ['q4_0', 'q8_0', 'q2_k'] as const) {
      const [gateWeight, upWeight] = [await c.weight('q4_0', [70, numIn]), await c.weight(upDtype, [70, numIn])];
      const result = out(size, 70);
      const layers = { gateWeight, gateBias: c.floats([70], 14), upWeight, upBias: undefined, activation: 'silu' };
      c.add('gatedMatmul', { x: c.floats([size, numIn], 13), ...layers, out: result }, result);
    }
  }
  const [x, y, sum, gated, normed] = [c.floats([T, 37], 4), c.floats([T, 37], 5), out(T, 37), out(T, 37), out(T, 37)];
  c.add('add', { a: x, b: y, out: sum }, sum);
  c.add('siluMul', { gate: x, up: y, out: gated }, gated);
  c.add('rmsNorm', { x, weight: c.floats([37], 6), eps: 1e-5, out: normed }, normed);
  const [gelu, centred, halfNormed] = [out(T, 37), out(T, 37), out(T, 37)];
  c.add('geluMul', { gate: x, up: y, out: gelu }, gelu);
  const bias = c.floats([37], 7);
  c.add('layerNorm', { x, weight: undefined, bias, eps: 1e-5, out: centred }, centred);
  const gains = backend.allocate('bf16', [37], 'weights');
  backend.writeBytes(gains, 0, randomWeightBytes('bf16', 6, 37));
  c.add('rmsNorm', { x, weight: gains, eps: 1e-5, out: halfNormed }, halfNormed);
  const gathered = out(5, 37);
  c.add('gatherRows', { x, rows: c.ints([5], [3, 1, 10, 0, 3]), out: gathered }, gathered);
  const logprobs = out(T);
  const sums = out(3, 8, 3);
  const rows = c.ints([3], [10, 0, 7]);
  c.add('softmaxSums', { logits: x, rows, temperatures: [1, 0.5, 2], segmentSize: 5, out: sums }, sums);
  const top = out(T, 5, 2);
  c.add('topLogits', { logits: x, out: top }, top);
  c.add('tokenLogprobs', { logits: x, tokenIds: c.ints([T], randomInts(7, T, 37)), out: logprobs }, logprobs);

  for (const dtype of ['f32', 'f16', 'q8_0'] as const) {
    for (const blockSize of [4, 16]) addAttention(c, dtype, blockSize, 80);
  }
  // So long a past that threads divide its sections.
  addAttention(c, 'f16', 16, 1200);
  return c.calls;
}

/** A prompt whose pages are copied elsewhere and read there, and one token of two sequences with a longer past. */
function addAttention(c: Calls, dtype: 'f32' | 'f16' | 'q8_0', blockSize: number, numTokens: number): void {
  const [numKvHeads, numHeads, D] = [3, 6, 32];
  const numPages = numTokens / blockSize;
  const [keyCache, valueCache] = [0, 1].map(() => c.pages(dtype, [2 * numPages, numKvHeads, blockSize, D])) as [
    Tensor,
    Tensor,
  ];
  const [k, v] = [c.floats([numTokens, numKvHeads, D], 8), c.floats([numTokens, numKvHeads, D], 9)];
  const order = permutation(12, numPages);
  const slots = Array.from(
    { length: numTokens },
    (_, i) => order[Math.floor(i / blockSize)]! * blockSize + (i % blockSize),
  );
  c.add('writeKv', { k, v, keyCache, valueCache, slotMapping: c.ints([numTokens], slots) }, k);
  const copies = [...order].flatMap((page) => [page, numPages + page]);
  c.add('copyBlocks', { keyCache, valueCache, copies: c.ints([numPages, 2], copies) }, k);
  for (const numQueries of [numTokens, 1]) {
    const numSeqs = numQueries === 1 ? 2 : 1;
    const out = c.floats([numSeqs * numQueries, numHeads, D], 99);
    const table = numQueries === 1 ? [...order, ...order.map((page) => numPages + page)] : [...order];
    const args = {
      q: c.floats([numSeqs * numQueries, numHeads, D], 10),
      blockTables: c.ints([numSeqs, numPages], table),
      queryStartLoc: c.ints([numSeqs + 1], [0, numQueries, 2 * numQueries].slice(0, numSeqs + 1)),
      seqLens: c.ints([numSeqs], Array(numSeqs).fill(numTokens)),
    };
    c.add('pagedAttention', { ...args, keyCache, valueCache, scale: 0.2, out }, out);
  }
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
    const outputs = calls.filter(({ op }) => op !== 'writeKv' && op !== 'copyBlocks');
    for (const { result } of outputs) backend.upload(result, new Float32Array(result.numElements).fill(-1));
    // Or what the caller alone wrote would still be there.
    const caches = new Set(
      calls.flatMap(({ args }) => [args.keyCache, args.valueCache]).filter((t) => t !== undefined),
    );
    for (const cache of caches as Set<Tensor>) backend.writeBytes(cache, 0, new Uint8Array(cache.byteLength));
    await runThreads(backend, calls, numThreads);
    for (const [i, { op, args, result }] of calls.entries()) {
      const bits = (values: Float32Array) => new Uint32Array(values.buffer);
      const label = `${op} ${(args.weight as Tensor | undefined)?.dtype ?? ''}`;
      expect(bits(await backend.download(result)), label).toEqual(bits(alone[i]!));
    }
  });
});
