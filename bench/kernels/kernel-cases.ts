/** What is measured: kernels and whole ops, each with the bytes it must read and the operations it must do. */
import type { WasmBackend } from '../../engine/kernels/wasm/wasm-backend.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { Rng } from '../../engine/util/rng.ts';

export interface KernelCase {
  readonly name: string;
  /** Bytes that come from memory at least once per run. */
  readonly bytes: number;
  /** 2 per multiply-add; undefined where bytes are what counts. */
  readonly operations?: number;
  /** Which peak the operations are measured against. */
  readonly peak?: 'f32' | 'dotI16' | 'dotI8';
  run(): void;
  free(): void;
}

/** A case is made when its turn comes and freed after it. */
export type CaseFactory = { readonly name: string; make(backend: WasmBackend): Promise<KernelCase> };

const PEAK_OF = { q8_0: 'dotI16', q4_0: 'dotI8', f32: 'f32', f16: 'f32', bf16: 'f32' } as const;
type Weight = keyof typeof PEAK_OF;
const WEIGHTS = Object.keys(PEAK_OF) as Weight[];

const MIB = 1024 * 1024;

export const CASES: readonly CaseFactory[] = [
  // A matrix far larger than any cache: one token's work, as in decoding.
  ...WEIGHTS.map((dtype) => matmulCase({ dtype, numTokens: 1, numIn: 2048, weightBytes: 128 * MIB })),
  // A batch of sequences, and a prompt's chunk, on a layer of a usual size.
  ...WEIGHTS.map((dtype) => matmulCase({ dtype, numTokens: 16, numIn: 2048, numOut: 2048 })),
  ...WEIGHTS.map((dtype) => matmulCase({ dtype, numTokens: 512, numIn: 2048, numOut: 512 })),
  elementwise('add', 3),
  elementwise('siluMul', 3),
  rmsNorm(),
  ...(['f32', 'f16'] as const).map(decodeAttention),
  promptAttention(),
  tokenLogprobs(),
];

interface MatmulSize {
  readonly dtype: Weight;
  readonly numTokens: number;
  readonly numIn: number;
  readonly numOut?: number;
  /** Instead of `numOut`. */
  readonly weightBytes?: number;
}

function matmulCase({ dtype, numTokens, numIn, ...size }: MatmulSize): CaseFactory {
  const { blockSize, bytesPerBlock } = quantFormat(dtype);
  const rowBytes = (numIn / blockSize) * bytesPerBlock;
  const numOut = size.numOut ?? Math.floor(size.weightBytes! / rowBytes / 16) * 16;
  const name = `matmul ${dtype} ${numTokens} x ${numIn} x ${numOut}`;
  return {
    name,
    async make(backend) {
      const weight = await randomWeight(backend, dtype, [numOut, numIn]);
      const x = randomFloats(backend, [numTokens, numIn]);
      const out = randomFloats(backend, [numTokens, numOut]);
      return {
        name,
        bytes: numOut * rowBytes,
        operations: 2 * numTokens * numIn * numOut,
        peak: PEAK_OF[dtype],
        run: () => backend.matmul({ x, weight, out }),
        free: () => freeAll(backend, [weight, x, out]),
      };
    },
  };
}

function elementwise(op: 'add' | 'siluMul', numArrays: number): CaseFactory {
  const shape = [64, 4096];
  const name = `${op} ${shape.join(' x ')}`;
  return {
    name,
    async make(backend) {
      const [a, b, out] = [1, 2, 3].map(() => randomFloats(backend, shape)) as [Tensor, Tensor, Tensor];
      const run = op === 'add' ? () => backend.add({ a, b, out }) : () => backend.siluMul({ gate: a, up: b, out });
      return { name, bytes: numArrays * out.byteLength, run, free: () => freeAll(backend, [a, b, out]) };
    },
  };
}

function rmsNorm(): CaseFactory {
  const name = 'rmsNorm 64 x 4096';
  return {
    name,
    async make(backend) {
      const [x, out] = [randomFloats(backend, [64, 4096]), randomFloats(backend, [64, 4096])];
      const weight = randomFloats(backend, [4096]);
      const run = () => backend.rmsNorm({ x, weight, eps: 1e-5, out });
      return { name, bytes: 2 * x.byteLength, run, free: () => freeAll(backend, [x, out, weight]) };
    },
  };
}

const BLOCK_SIZE = 16;

/** One new token of one sequence with a long past; heads as in Llama-3.2-1B. */
function decodeAttention(dtype: 'f32' | 'f16'): CaseFactory {
  const [numKeys, numHeads, numKvHeads, headDim] = [4096, 32, 8, 64];
  const name = `pagedAttention ${dtype} decode, ${numKeys} keys`;
  return attentionCase({ name, dtype, numQueries: 1, numKeys, numHeads, numKvHeads, headDim });
}

function promptAttention(): CaseFactory {
  const name = 'pagedAttention f32 prompt, 512 tokens';
  return attentionCase({ name, dtype: 'f32', numQueries: 512, numKeys: 512, numHeads: 32, numKvHeads: 8, headDim: 64 });
}

interface AttentionSize {
  readonly name: string;
  readonly dtype: 'f32' | 'f16';
  readonly numQueries: number;
  readonly numKeys: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

function attentionCase(size: AttentionSize): CaseFactory {
  const { name, dtype, numQueries, numKeys, numHeads, numKvHeads, headDim } = size;
  return {
    name,
    async make(backend) {
      const numBlocks = numKeys / BLOCK_SIZE;
      const pages = [numBlocks, numKvHeads, BLOCK_SIZE, headDim];
      const [keyCache, valueCache] = [backend.allocate(dtype, pages, 'kv'), backend.allocate(dtype, pages, 'kv')];
      const rows = randomFloats(backend, [numKeys, numKvHeads, headDim]);
      const slotMapping = ints(backend, [numKeys], (i) => i);
      backend.writeKv({ k: rows, v: rows, keyCache, valueCache, slotMapping });
      const [q, out] = [0, 1].map(() => randomFloats(backend, [numQueries, numHeads, headDim])) as [Tensor, Tensor];
      const blockTables = ints(backend, [1, numBlocks], (i) => i);
      const queryStartLoc = ints(backend, [2], (i) => i * numQueries);
      const seqLens = ints(backend, [1], () => numKeys);
      const scale = 1 / Math.sqrt(headDim);
      const args = { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale, out };
      const seen = numQueries === 1 ? numKeys : (numKeys * (numKeys + 1)) / 2;
      return {
        name,
        bytes: keyCache.byteLength + valueCache.byteLength,
        operations: 4 * seen * numHeads * headDim,
        peak: 'f32',
        run: () => backend.pagedAttention(args),
        free: () =>
          freeAll(backend, [keyCache, valueCache, rows, slotMapping, q, out, blockTables, queryStartLoc, seqLens]),
      };
    },
  };
}

function tokenLogprobs(): CaseFactory {
  const name = 'tokenLogprobs 4 x 128256';
  return {
    name,
    async make(backend) {
      const [logits, out] = [randomFloats(backend, [4, 128_256]), randomFloats(backend, [4])];
      const tokenIds = ints(backend, [4], (i) => i);
      const run = () => backend.tokenLogprobs({ logits, tokenIds, out });
      return { name, bytes: logits.byteLength, run, free: () => freeAll(backend, [logits, out, tokenIds]) };
    },
  };
}

/** Every byte is written: pages that never were all read the same zeros, from cache. Scales are ordinary numbers, not
 * denormals, which are slow. One row's worth of random values is stored again and again. */
async function randomWeight(backend: WasmBackend, dtype: FloatDType, shape: readonly number[]): Promise<Tensor> {
  const format = quantFormat(dtype);
  const period = 4096 * 7;
  const rng = Rng.fromSeed(1);
  const values = Float32Array.from({ length: period }, () => rng.nextFloat() - 0.5);
  const bytes = new Uint8Array((period / format.blockSize) * format.bytesPerBlock);
  format.quantize!(values, 0, bytes, 0, period / format.blockSize);
  return backend.loadWeight(dtype, shape, async (byteOffset, target) => {
    for (let at = 0; at < target.length; ) {
      const from = (byteOffset + at) % bytes.length;
      const piece = bytes.subarray(from, from + target.length - at);
      target.set(piece, at);
      at += piece.length;
    }
  });
}

function randomFloats(backend: WasmBackend, shape: readonly number[]): Tensor {
  const tensor = backend.allocate('f32', shape, 'scratch');
  const rng = Rng.fromSeed(2);
  backend.upload(
    tensor,
    Float32Array.from({ length: tensor.numElements }, () => 2 * rng.nextFloat() - 1),
  );
  return tensor;
}

function ints(backend: WasmBackend, shape: readonly number[], value: (i: number) => number): Tensor {
  const tensor = backend.allocate('i32', shape, 'scratch');
  backend.upload(
    tensor,
    Int32Array.from({ length: tensor.numElements }, (_, i) => value(i)),
  );
  return tensor;
}

function freeAll(backend: WasmBackend, tensors: readonly Tensor[]): void {
  for (const tensor of tensors) backend.free(tensor);
}
