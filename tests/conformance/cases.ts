/** Random calls of every op. */
import fc from 'fast-check';
import type { OpName, RopeStyle } from '../../engine/kernels/ops.ts';
import {
  numTokens,
  randomInts,
  randomValues,
  randomWeightBytes,
  seed,
  size,
  weightRow,
} from '../helpers/arbitraries-kernels.ts';
import { copyBlocks, pagedAttention, writeKv } from './attention-cases.ts';
import { type ConformanceCase, casesOf } from './conformance-case.ts';
import { gatedInputs, gatedLayers } from './gated-layers.ts';

/** Rows of activations: a few tokens, a width, a magnitude, whether the op may write over its input. */
const rows = () => ({
  T: numTokens(),
  N: size(),
  scale: fc.constantFrom(1e-3, 1, 30),
  inPlace: fc.boolean(),
  seed: seed(),
});

const embed = casesOf(
  'embed',
  fc.tuple(fc.record({ T: numTokens(), V: size(), seed: seed() }), weightRow()).map(([p, w]) => ({ ...p, ...w })),
  async (work, p) => {
    const bytes = randomWeightBytes(p.dtype, p.seed, p.V * p.rowLength);
    const weight = await work.weight(p.dtype, [p.V, p.rowLength], bytes);
    const tokenIds = work.ints([p.T], randomInts(p.seed + 1, p.T, p.V));
    const out = work.output([p.T, p.rowLength]);
    work.run('embed', { tokenIds, weight, out });
    return work.read(out);
  },
);

const matmul = casesOf(
  'matmul',
  fc
    .tuple(
      fc.record({
        T: numTokens(),
        N: size(),
        hasBias: fc.boolean(),
        residual: fc.constantFrom('none', 'elsewhere', 'in place'),
        seed: seed(),
      }),
      weightRow(),
    )
    // A sum of K products of two uniform values from -1 to 1, each 1/3 in the root mean square.
    .map(([p, w]) => ({ ...p, ...w, magnitude: Math.sqrt(w.rowLength) / 3 })),
  async (work, p) => {
    const bytes = randomWeightBytes(p.dtype, p.seed, p.N * p.rowLength);
    const weight = await work.weight(p.dtype, [p.N, p.rowLength], bytes);
    const x = work.floats([p.T, p.rowLength], randomValues(p.seed + 1, p.T * p.rowLength));
    const bias = p.hasBias ? work.floats([p.N], randomValues(p.seed + 2, p.N)) : undefined;
    const residual = p.residual === 'none' ? undefined : work.floats([p.T, p.N], randomValues(p.seed + 3, p.T * p.N));
    const out = p.residual === 'in place' ? residual! : work.output([p.T, p.N]);
    work.run('matmul', { x, weight, bias, residual, out });
    return work.read(out);
  },
);

const gatedMatmul = casesOf('gatedMatmul', gatedLayers('equal'), async (work, p) => {
  const out = work.output([p.T, p.N]);
  work.run('gatedMatmul', { ...(await gatedInputs(work, p)), activation: p.activation, out });
  return work.read(out);
});

const normParameters = () =>
  fc.record({ ...rows(), eps: fc.constantFrom(1e-6, 1e-5), hasWeight: fc.boolean(), hasBias: fc.boolean() });

const rmsNorm = casesOf('rmsNorm', normParameters(), async (work, p) => {
  const x = work.floats([p.T, p.N], randomValues(p.seed, p.T * p.N, p.scale));
  const weight = p.hasWeight ? work.floats([p.N], randomValues(p.seed + 1, p.N)) : undefined;
  const out = p.inPlace ? x : work.output([p.T, p.N]);
  work.run('rmsNorm', { x, weight, eps: p.eps, out });
  return work.read(out);
});

const layerNorm = casesOf('layerNorm', normParameters(), async (work, p) => {
  // Features that are all but equal have no variance, and their norm is rounding noise divided by eps: two are far apart.
  const width = p.N + 1;
  const values = randomValues(p.seed, p.T * width, p.scale);
  for (let t = 0; t < p.T; t++) values.set([p.scale, -p.scale / 2], t * width);
  const x = work.floats([p.T, width], values);
  const weight = p.hasWeight ? work.floats([width], randomValues(p.seed + 1, width)) : undefined;
  const bias = p.hasBias ? work.floats([width], randomValues(p.seed + 2, width)) : undefined;
  const out = p.inPlace ? x : work.output([p.T, width]);
  work.run('layerNorm', { x, weight, bias, eps: p.eps, out });
  return work.read(out);
});

const rope = casesOf(
  'rope',
  fc.record({
    T: numTokens(),
    heads: fc.integer({ min: 1, max: 5 }),
    numPairs: size(33),
    unrotated: fc.constantFrom(0, 1, 6),
    numPositions: size(),
    style: fc.constantFrom<RopeStyle>('interleaved', 'neox'),
    seed: seed(),
  }),
  async (work, p) => {
    const [rotaryDim, headDim] = [2 * p.numPairs, 2 * p.numPairs + p.unrotated];
    const x = work.floats([p.T, p.heads, headDim], randomValues(p.seed, p.T * p.heads * headDim));
    const positions = work.ints([p.T], randomInts(p.seed + 1, p.T, p.numPositions));
    const angles = randomValues(p.seed + 2, p.numPositions * p.numPairs, Math.PI);
    const entries = Float32Array.from({ length: 2 * angles.length }, (_, i) =>
      i % 2 === 0 ? Math.cos(angles[i / 2]!) : Math.sin(angles[(i - 1) / 2]!),
    );
    const table = work.floats([p.numPositions, rotaryDim], entries);
    work.run('rope', { x, positions, table, style: p.style });
    return work.read(x);
  },
);

function gated(op: 'siluMul' | 'geluMul') {
  // A quarter of the gate's size: half of the gates pass as they are, times a value of 1/2. A lone gate far below 0 gives 0,
  // or something next to it.
  const parameters = fc.record(rows()).map((p) => ({ ...p, magnitude: p.scale / 4 }));
  return casesOf(op, parameters, async (work, p) => {
    const gate = work.floats([p.T, p.N], randomValues(p.seed, p.T * p.N, p.scale));
    const up = work.floats([p.T, p.N], randomValues(p.seed + 1, p.T * p.N));
    const out = p.inPlace ? gate : work.output([p.T, p.N]);
    work.run(op, { gate, up, out });
    return work.read(out);
  });
}

const add = casesOf('add', fc.record(rows()), async (work, p) => {
  const a = work.floats([p.T, p.N], randomValues(p.seed, p.T * p.N, p.scale));
  const b = work.floats([p.T, p.N], randomValues(p.seed + 1, p.T * p.N));
  const out = p.inPlace ? b : work.output([p.T, p.N]);
  work.run('add', { a, b, out });
  return work.read(out);
});

const gatherRows = casesOf(
  'gatherRows',
  fc.record({ T: numTokens(), H: size(), R: numTokens(), seed: seed() }),
  async (work, p) => {
    const x = work.floats([p.T, p.H], randomValues(p.seed, p.T * p.H));
    const indices = work.ints([p.R], randomInts(p.seed + 1, p.R, p.T));
    const out = work.output([p.R, p.H]);
    work.run('gatherRows', { x, rows: indices, out });
    return work.read(out);
  },
);

const tokenLogprobs = casesOf(
  'tokenLogprobs',
  fc
    .record({ R: numTokens(), V: size(), scale: fc.constantFrom(1e-3, 1, 30), seed: seed() })
    // A token that is nearly certain has a log-probability of nearly 0, which 1 + e^-30 rounds away.
    .map((p) => ({ ...p, magnitude: 1 })),
  async (work, p) => {
    const logits = work.floats([p.R, p.V], randomValues(p.seed, p.R * p.V, p.scale));
    const tokenIds = work.ints([p.R], randomInts(p.seed + 1, p.R, p.V));
    const out = work.output([p.R]);
    work.run('tokenLogprobs', { logits, tokenIds, out });
    return work.read(out);
  },
);

/** Logits of few levels, so that many are equal; some rows rise, so that every logit is a new best; NaN and infinities. */
const topLogits = casesOf(
  'topLogits',
  fc.record({
    R: numTokens(),
    V: fc.oneof(size(), fc.integer({ min: 200, max: 400 })),
    share: fc.constantFrom(0, 0.1, 0.5, 1),
    levels: fc.constantFrom(1, 2, 5, 1e6),
    order: fc.constantFrom('random', 'rising', 'falling'),
    special: fc.constantFrom(1, Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, -0),
    seed: seed(),
  }),
  async (work, p) => {
    const numTop = Math.min(p.V, 1 + Math.floor(p.share * p.V));
    const values = randomValues(p.seed, p.R * p.V).map((value) => Math.round(value * p.levels));
    if (p.order !== 'random') values.sort((a, b) => (p.order === 'rising' ? a - b : b - a));
    for (const place of randomInts(p.seed + 1, Math.ceil(values.length / 7), values.length)) values[place] = p.special;
    const out = work.output([p.R, numTop, 2]);
    work.run('topLogits', { logits: work.floats([p.R, p.V], values), out });
    return work.read(out);
  },
);

const softmaxSums = casesOf(
  'softmaxSums',
  fc.record({
    R: numTokens(),
    Q: numTokens(),
    V: size(),
    segmentSize: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.constant(500)),
    temperature: fc.constantFrom(0.1, 0.8, 1, 3),
    scale: fc.constantFrom(1e-3, 1, 30),
    special: fc.constantFrom(0, Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY),
    seed: seed(),
  }),
  async (work, p) => {
    const values = randomValues(p.seed, p.R * p.V, p.scale);
    for (const place of randomInts(p.seed + 1, Math.ceil(values.length / 7), values.length)) values[place] = p.special;
    const out = work.output([p.Q, Math.ceil(p.V / p.segmentSize), 3]);
    work.run('softmaxSums', {
      logits: work.floats([p.R, p.V], values),
      rows: work.ints([p.Q], randomInts(p.seed + 2, p.Q, p.R)),
      temperatures: Array.from({ length: p.Q }, (_, q) => p.temperature * (1 + q)),
      segmentSize: p.segmentSize,
      out,
    });
    // The low part is what rounding left over: it says something only together with the high one.
    return (await work.read(out)).map((value, i, all) => (i % 3 === 2 ? value + all[i - 1]! : value));
  },
);

/** Each op's cases. */
export const CASES: Readonly<Record<OpName, fc.Arbitrary<ConformanceCase>>> = {
  embed,
  rmsNorm,
  layerNorm,
  matmul,
  gatedMatmul,
  rope,
  writeKv,
  pagedAttention,
  siluMul: gated('siluMul'),
  geluMul: gated('geluMul'),
  add,
  gatherRows,
  copyBlocks,
  tokenLogprobs,
  topLogits,
  softmaxSums,
};
