/** What is measured on a GPU: ops of a decode step and of a prompt, each with the bytes it must move and the operations it
 * must do. Sizes are those of a model of 8 billion weights (Llama-3.1-8B's `config.json`), divided by `--shrink`. */
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { FloatDType } from '../../engine/tensor/dtype.ts';
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import { freeAll, ints, randomFloats, randomWeight } from '../kernels/case-inputs.ts';

export interface GpuCase {
  readonly name: string;
  /** Bytes that come from memory or go there at least once per run. */
  readonly bytes: number;
  /** 2 per multiply-add; undefined where bytes are what counts. */
  readonly operations?: number;
  run(): void;
  free(): void;
}

export interface GpuCaseFactory {
  readonly name: string;
  make(backend: KernelBackend): Promise<GpuCase>;
}

const FORMATS = ['f16', 'q8_0', 'q4_0', 'q4_k', 'q6_k'] as const satisfies readonly FloatDType[];
const [HIDDEN, INTERMEDIATE, VOCAB, NUM_HEADS, NUM_KV_HEADS, HEAD_DIM, BLOCK_SIZE] = [
  4096, 14_336, 128_256, 32, 8, 128, 16,
];

/** @param shrink  divides widths and numbers of keys; 1 for a real GPU */
export function gpuCases(shrink: number): readonly GpuCaseFactory[] {
  const numIn = Math.max(256, HIDDEN / shrink);
  const numOut = Math.max(64, INTERMEDIATE / shrink);
  return [
    ...FORMATS.flatMap((dtype) => [1, 16, 512].map((numTokens) => matmul({ dtype, numTokens, numIn, numOut }))),
    ...(['f32', 'f16', 'q8_0'] as const).map((dtype) => decodeAttention(dtype, Math.max(64, 8192 / shrink))),
    rmsNorm(numIn),
    topLogits(Math.max(4096, VOCAB / shrink)),
  ];
}

/** K-quants have no quantizer here: their scales are whatever the bytes say, and as fast. */
function weightOf(backend: KernelBackend, dtype: FloatDType, shape: readonly number[]) {
  if (quantFormat(dtype).quantize !== undefined) return randomWeight(backend, dtype, shape);
  return backend.loadWeight(dtype, shape, async (byteOffset, target) => {
    for (let i = 0; i < target.length; i++) target[i] = (byteOffset + i) % 61;
  });
}

interface MatmulSize {
  readonly dtype: FloatDType;
  readonly numTokens: number;
  readonly numIn: number;
  readonly numOut: number;
}

function matmul({ dtype, numTokens, numIn, numOut }: MatmulSize): GpuCaseFactory {
  const name = `matmul ${dtype} ${numTokens} x ${numIn} x ${numOut}`;
  const { blockSize, bytesPerBlock } = quantFormat(dtype);
  const weightBytes = (numOut * numIn * bytesPerBlock) / blockSize;
  return {
    name,
    async make(backend) {
      // Two, by turns: what is read now is not what was read just before, as far as caches reach.
      const weights = [
        await weightOf(backend, dtype, [numOut, numIn]),
        await weightOf(backend, dtype, [numOut, numIn]),
      ];
      const [x, out] = [randomFloats(backend, [numTokens, numIn]), randomFloats(backend, [numTokens, numOut])];
      let turn = 0;
      return {
        name,
        bytes: weightBytes + 4 * numTokens * (numIn + numOut),
        operations: 2 * numTokens * numIn * numOut,
        run: () => backend.matmul({ x, weight: weights[turn++ % 2]!, out }),
        free: () => freeAll(backend, [...weights, x, out]),
      };
    },
  };
}

/** One token of one sequence with a long past. */
function decodeAttention(dtype: 'f32' | 'f16' | 'q8_0', numKeys: number): GpuCaseFactory {
  const name = `pagedAttention ${dtype}, 1 x ${numKeys} keys`;
  return {
    name,
    async make(backend) {
      const pages = [numKeys / BLOCK_SIZE, NUM_KV_HEADS, BLOCK_SIZE, HEAD_DIM];
      const [keyCache, valueCache] = [backend.allocate(dtype, pages, 'kv'), backend.allocate(dtype, pages, 'kv')];
      const rows = randomFloats(backend, [numKeys, NUM_KV_HEADS, HEAD_DIM]);
      const slotMapping = ints(backend, [numKeys], (i) => i);
      backend.writeKv({ k: rows, v: rows, keyCache, valueCache, slotMapping });
      const [q, out] = [1, 2].map(() => randomFloats(backend, [1, NUM_HEADS, HEAD_DIM]));
      const blockTables = ints(backend, [1, numKeys / BLOCK_SIZE], (i) => i);
      const [queryStartLoc, seqLens] = [ints(backend, [2], (i) => i), ints(backend, [1], () => numKeys)];
      const args = { q: q!, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale: 0.1, out: out! };
      const all = [keyCache, valueCache, rows, slotMapping, q!, out!, blockTables, queryStartLoc, seqLens];
      return {
        name,
        bytes: keyCache.byteLength + valueCache.byteLength,
        operations: 4 * numKeys * NUM_HEADS * HEAD_DIM,
        run: () => backend.pagedAttention(args),
        free: () => freeAll(backend, all),
      };
    },
  };
}

function rmsNorm(width: number): GpuCaseFactory {
  const name = `rmsNorm 512 x ${width}`;
  return {
    name,
    async make(backend) {
      const [x, out] = [1, 2].map(() => randomFloats(backend, [512, width]));
      const run = () => backend.rmsNorm({ x: x!, eps: 1e-5, out: out! });
      return { name, bytes: 2 * x!.byteLength, run, free: () => freeAll(backend, [x!, out!]) };
    },
  };
}

function topLogits(vocabSize: number): GpuCaseFactory {
  const name = `topLogits 64 of ${vocabSize}`;
  return {
    name,
    async make(backend) {
      const [logits, out] = [randomFloats(backend, [1, vocabSize]), backend.allocate('f32', [1, 64, 2], 'scratch')];
      const run = () => backend.topLogits({ logits, out });
      return { name, bytes: logits.byteLength, run, free: () => freeAll(backend, [logits, out]) };
    },
  };
}
