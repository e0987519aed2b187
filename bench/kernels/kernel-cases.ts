/** What is measured: kernels and whole ops, each with the bytes it must read and the operations it must do. */
import { quantFormat } from '../../engine/tensor/quant/quant-registry.ts';
import type { Tensor } from '../../engine/tensor/tensor.ts';
import { ATTENTION_CASES } from './attention-cases.ts';
import { type CaseFactory, freeAll, ints, randomFloats, randomWeight } from './case-inputs.ts';

const PEAK_OF = {
  q8_0: 'dotI16',
  q4_0: 'dotI8',
  q4_k: 'dotI8',
  q5_k: 'dotI8',
  q6_k: 'dotI8',
  f32: 'f32',
  f16: 'f32',
  bf16: 'f32',
} as const;
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
  elementwise('geluMul', 3),
  ...(['f32', 'bf16'] as const).map((dtype) => norm('rmsNorm', dtype)),
  norm('layerNorm', 'f32'),
  ...ATTENTION_CASES,
  tokenLogprobs(),
  topLogits(1),
  topLogits(64),
  softmaxSums(),
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

function elementwise(op: 'add' | 'siluMul' | 'geluMul', numArrays: number): CaseFactory {
  const shape = [64, 4096];
  const name = `${op} ${shape.join(' x ')}`;
  return {
    name,
    async make(backend) {
      const [a, b, out] = [1, 2, 3].map(() => randomFloats(backend, shape)) as [Tensor, Tensor, Tensor];
      const run = op === 'add' ? () => backend.add({ a, b, out }) : () => backend[op]({ gate: a, up: b, out });
      return { name, bytes: numArrays * out.byteLength, run, free: () => freeAll(backend, [a, b, out]) };
    },
  };
}

/** A chunk of a prompt; `dtype` is the weight's. */
function norm(op: 'rmsNorm' | 'layerNorm', dtype: 'f32' | 'bf16'): CaseFactory {
  const name = `${op} 64 x 4096, ${dtype} weight`;
  return {
    name,
    async make(backend) {
      const [x, out] = [randomFloats(backend, [64, 4096]), randomFloats(backend, [64, 4096])];
      const weight = await randomWeight(backend, dtype, [4096]);
      const run = () => backend[op]({ x, weight, eps: 1e-5, out });
      return { name, bytes: 2 * x.byteLength, run, free: () => freeAll(backend, [x, out, weight]) };
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

function topLogits(numTop: number): CaseFactory {
  const name = `topLogits ${numTop} of 4 x 128256`;
  return {
    name,
    async make(backend) {
      const [logits, out] = [randomFloats(backend, [4, 128_256]), randomFloats(backend, [4, numTop, 2])];
      const run = () => backend.topLogits({ logits, out });
      return { name, bytes: logits.byteLength, run, free: () => freeAll(backend, [logits, out]) };
    },
  };
}

function softmaxSums(): CaseFactory {
  const name = 'softmaxSums 4 x 128256';
  return {
    name,
    async make(backend) {
      const [logits, out] = [randomFloats(backend, [4, 128_256]), randomFloats(backend, [4, 251, 3])];
      const rows = ints(backend, [4], (i) => i);
      const run = () => backend.softmaxSums({ logits, rows, temperatures: [1, 1, 1, 1], segmentSize: 512, out });
      return { name, bytes: logits.byteLength, run, free: () => freeAll(backend, [logits, out, rows]) };
    },
  };
}
