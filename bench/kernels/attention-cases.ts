/** The KV cache's cases: attention of one token with a long past and of a prompt, storing keys and values, copying pages.
 * Heads as in Llama-3.2-1B. */
import type { KernelBackend } from '../../engine/kernels/kernel-backend.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { type CaseFactory, freeAll, ints, type KernelCase, randomFloats } from './case-inputs.ts';

const DTYPES = ['f32', 'f16', 'q8_0'] as const;
const [BLOCK_SIZE, NUM_HEADS, NUM_KV_HEADS, HEAD_DIM] = [16, 32, 8, 64];

interface Size {
  readonly name: string;
  readonly dtype: (typeof DTYPES)[number];
  readonly numKeys: number;
  /** New tokens of the sequence: 1, or all of it. */
  readonly numQueries: number;
  readonly softCap?: number;
}

export const ATTENTION_CASES: readonly CaseFactory[] = [
  ...DTYPES.map((dtype) => attention({ name: `${dtype} decode, 4096 keys`, dtype, numQueries: 1, numKeys: 4096 })),
  ...DTYPES.map((dtype) => attention({ name: `${dtype} prompt, 512 tokens`, dtype, numQueries: 512, numKeys: 512 })),
  attention({ name: 'f32 prompt, soft cap', dtype: 'f32', numQueries: 512, numKeys: 512, softCap: 50 }),
  ...DTYPES.map(writeKv),
  copyBlocks(),
];

/** A sequence of `numKeys` tokens in pages that follow one another. */
function cacheOf(backend: KernelBackend, { dtype, numKeys }: Pick<Size, 'dtype' | 'numKeys'>) {
  const pages = [numKeys / BLOCK_SIZE, NUM_KV_HEADS, BLOCK_SIZE, HEAD_DIM];
  const [keyCache, valueCache] = [backend.allocate(dtype, pages, 'kv'), backend.allocate(dtype, pages, 'kv')];
  const rows = randomFloats(backend, [numKeys, NUM_KV_HEADS, HEAD_DIM]);
  const slotMapping = ints(backend, [numKeys], (i) => i);
  const write = () => backend.writeKv({ k: rows, v: rows, keyCache, valueCache, slotMapping });
  write();
  return { keyCache, valueCache, rows, write, all: [keyCache, valueCache, rows, slotMapping] as readonly Tensor[] };
}

function attention(size: Size): CaseFactory {
  const { numQueries, numKeys, softCap } = size;
  const name = `pagedAttention ${size.name}`;
  return {
    name,
    async make(backend): Promise<KernelCase> {
      const { keyCache, valueCache, all } = cacheOf(backend, size);
      const shape = [numQueries, NUM_HEADS, HEAD_DIM];
      const [q, out] = [randomFloats(backend, shape), randomFloats(backend, shape)];
      const blockTables = ints(backend, [1, numKeys / BLOCK_SIZE], (i) => i);
      const queryStartLoc = ints(backend, [2], (i) => i * numQueries);
      const seqLens = ints(backend, [1], () => numKeys);
      const scale = 1 / Math.sqrt(HEAD_DIM);
      const args = { q, keyCache, valueCache, blockTables, queryStartLoc, seqLens, scale, softCap, out };
      const seen = numQueries === 1 ? numKeys : (numKeys * (numKeys + 1)) / 2;
      return {
        name,
        bytes: keyCache.byteLength + valueCache.byteLength,
        operations: 4 * seen * NUM_HEADS * HEAD_DIM,
        peak: 'f32',
        run: () => backend.pagedAttention(args),
        free: () => freeAll(backend, [...all, q, out, blockTables, queryStartLoc, seqLens]),
      };
    },
  };
}

function writeKv(dtype: Size['dtype']): CaseFactory {
  const name = `writeKv ${dtype}, 512 tokens`;
  return {
    name,
    async make(backend) {
      const { keyCache, rows, write, all } = cacheOf(backend, { dtype, numKeys: 512 });
      const bytes = 2 * (rows.byteLength + keyCache.byteLength);
      return { name, bytes, run: write, free: () => freeAll(backend, all) };
    },
  };
}

/** Every page of one half of the pool to the other. */
function copyBlocks(): CaseFactory {
  const name = 'copyBlocks f32, 64 pages';
  return {
    name,
    async make(backend) {
      const { keyCache, valueCache, all } = cacheOf(backend, { dtype: 'f32', numKeys: 128 * BLOCK_SIZE });
      const copies = ints(backend, [64, 2], (i) => (i % 2 === 0 ? i / 2 : 64 + (i - 1) / 2));
      const run = () => backend.copyBlocks({ keyCache, valueCache, copies });
      const bytes = keyCache.byteLength + valueCache.byteLength;
      return { name, bytes, run, free: () => freeAll(backend, [...all, copies]) };
    },
  };
}
