/** The reference ops against values that others computed in float64 (`fixtures/kernels`, made with numpy). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RopeStyle } from '../../../engine/kernels/ops.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { Workspace } from '../../conformance/workspace.ts';
import { fixturePath, hasFixtures, readF32, readJson, skipNote } from '../../helpers/fixtures.ts';
import { FIXTURE_TOLERANCE } from '../../helpers/tolerances.ts';
import { ropeTable } from './rope-table.ts';

interface RopeFixture {
  readonly name: string;
  readonly hd: number;
  readonly n_rot: number;
  readonly H: number;
  readonly T: number;
  readonly freq_base: number;
  readonly freq_factors: boolean;
  readonly pos: readonly number[];
}

interface AttentionFixture {
  readonly name: string;
  readonly H: number;
  readonly KV: number;
  readonly hd: number;
  readonly Tq: number;
  readonly Tk: number;
  readonly scale: number;
}

interface NormFixture {
  readonly name: string;
  readonly rows: number;
  readonly cols: number;
  readonly eps: number;
}

const read = (file: string) => readF32(fixturePath(`kernels/${file}.f32`));

function expectClose(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!));
  expect(worst).toBeLessThanOrEqual(FIXTURE_TOLERANCE);
}

/** [A][B][row] to [B][A][row]. */
function swapOuter(values: Float32Array, numA: number, numB: number): Float32Array {
  const rowLength = values.length / (numA * numB);
  return values.map((_, i) => {
    const [b, a, d] = [Math.floor(i / (numA * rowLength)), Math.floor(i / rowLength) % numA, i % rowLength];
    return values[(a * numB + b) * rowLength + d]!;
  });
}

describe.skipIf(!hasFixtures)(`fixtures/kernels${skipNote}`, () => {
  const backend = new ReferenceBackend();
  const work = new Workspace(backend);
  let index: readonly { readonly name: string }[] = [];
  beforeAll(async () => {
    index = await readJson(fixturePath('kernels/index.json'));
  });
  afterAll(() => backend.close());

  function fixture<T>(name: string): T {
    const found = index.find((entry) => entry.name === name);
    if (found === undefined) throw new Error(`no fixture ${name}`);
    return found as T;
  }

  it.each<[string, RopeStyle]>([
    ['rope_norm', 'interleaved'],
    ['rope_neox', 'neox'],
    ['rope_norm_partial', 'interleaved'],
    ['rope_norm_llama3_ff', 'interleaved'],
  ])('%s', async (name, style) => {
    const { hd, n_rot, H, T, freq_base, freq_factors, pos } = fixture<RopeFixture>(name);
    const factors = freq_factors ? await read(`${name}.freq_factors`) : undefined;
    const numPositions = Math.max(...pos) + 1;
    const table = ropeTable({ numPositions, rotaryDim: n_rot, theta: freq_base, factors });
    const x = work.floats([T, H, hd], await read(`${name}.in`));
    const positions = work.ints([T], pos);
    work.run('rope', { x, positions, table: work.floats([numPositions, n_rot], table), style });
    expectClose(await work.read(x), await read(`${name}.ref64`));
  });

  it.each(['rmsNorm', 'layerNorm'] as const)('%s', async (op) => {
    const name = `${op.toLowerCase()}_eps1e-5`;
    const { rows, cols, eps } = fixture<NormFixture>(name);
    const x = work.floats([rows, cols], await read(`${name}.in`));
    const out = work.output([rows, cols]);
    work.run(op, { x, eps, out });
    expectClose(await work.read(out), await read(`${name}.ref64`));
  });

  it('swiglu', async () => {
    const gate = await read('swiglu.gate');
    const out = work.output([1, gate.length]);
    const up = work.floats([1, gate.length], await read('swiglu.up'));
    work.run('siluMul', { gate: work.floats([1, gate.length], gate), up, out });
    expectClose(await work.read(out), await read('swiglu.ref64'));
  });

  it.each(['attn_mha', 'attn_gqa', 'attn_mqa_decode', 'attn_gqa_chunk'])('%s', async (name) => {
    const { H, KV, hd, Tq, Tk, scale } = fixture<AttentionFixture>(name);
    // Files hold q and out as [H][Tq][hd], k as [KV][Tk][hd], v transposed as [KV][hd][Tk].
    const q = swapOuter(await read(`${name}.q`), H, Tq);
    const k = swapOuter(await read(`${name}.k`), KV, Tk);
    const transposed = await read(`${name}.vT`);
    const v = k.map((_, i) => {
      const [t, kv, d] = [Math.floor(i / (KV * hd)), Math.floor(i / hd) % KV, i % hd];
      return transposed[(kv * hd + d) * Tk + t]!;
    });
    const blockSize = 4;
    const numBlocks = Math.ceil(Tk / blockSize);
    const table = Array.from({ length: numBlocks }, (_, i) => numBlocks - 1 - i);
    const keyCache = work.zeros('f32', [numBlocks, KV, blockSize, hd]);
    const valueCache = work.zeros('f32', [numBlocks, KV, blockSize, hd]);
    const slots = Array.from({ length: Tk }, (_, t) => table[Math.floor(t / blockSize)]! * blockSize + (t % blockSize));
    const slotMapping = work.ints([Tk], slots);
    const shape = [Tk, KV, hd];
    work.run('writeKv', { k: work.floats(shape, k), v: work.floats(shape, v), keyCache, valueCache, slotMapping });
    const out = work.output([Tq, H, hd]);
    work.run('pagedAttention', {
      q: work.floats([Tq, H, hd], q),
      keyCache,
      valueCache,
      blockTables: work.ints([1, numBlocks], table),
      queryStartLoc: work.ints([2], [0, Tq]),
      seqLens: work.ints([1], [Tk]),
      scale,
      out,
    });
    expectClose(swapOuter(await work.read(out), Tq, H), await read(`${name}.ref64`));
  });
});
