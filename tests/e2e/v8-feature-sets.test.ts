/** The same kernels in processes whose V8 can do less: they work, say what they lack, and in `portable` numerics give the
 * same bits. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { probeWasm } from '../../engine/kernels/wasm/probe-wasm.ts';

const PROGRAM = fileURLToPath(new URL('../helpers/run-feature-probe.ts', import.meta.url));

/** Refuses modules that hold `f32x4.relaxed_madd` (fd 85 02), as a V8 would that does not know it. */
const WITHOUT_RELAXED_SIMD = `
  const holds = (bytes) => bytes.some((byte, i) => byte === 0xfd && bytes[i + 1] === 0x85 && bytes[i + 2] === 0x02);
  const { validate, Module } = WebAssembly;
  WebAssembly.validate = (bytes) => !holds(bytes) && validate(bytes);
  WebAssembly.Module = class extends Module {
    constructor(bytes) {
      if (holds(bytes)) throw new WebAssembly.CompileError('invalid SIMD opcode');
      super(bytes);
    }
  };`;

interface Outcome {
  readonly features: Readonly<Record<string, { readonly used: boolean; readonly reason?: string }>>;
  readonly logits: string;
}

async function run(numerics: 'fast' | 'portable', options: readonly string[] = []): Promise<Outcome> {
  const args = [...options, PROGRAM, bundledModelPath('draft'), numerics];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Outcome;
}

const NO_RELAXED = ['--import', `data:text/javascript,${encodeURIComponent(WITHOUT_RELAXED_SIMD)}`];

describe.skipIf(!probeWasm().available)('V8 feature sets', () => {
  it('give the same bits in portable numerics', async () => {
    const flags = ['--no-enable-avx2', '--no-enable-avx', '--no-enable-fma3', '--liftoff-only'];
    const [usual, noRelaxed, ...others] = await Promise.all([
      run('portable'),
      run('portable', NO_RELAXED),
      ...flags.map((flag) => run('portable', [flag])),
    ]);
    expect(usual!.features.relaxedSimd).toMatchObject({ used: false, reason: expect.stringContaining('portable') });
    for (const { logits } of [noRelaxed!, ...others]) expect(logits).toBe(usual!.logits);
  });

  it('are reported as they are', async () => {
    const [noRelaxed, noAvx2] = await Promise.all([run('fast', NO_RELAXED), run('fast', ['--no-enable-avx2'])]);
    expect(noRelaxed.features.relaxedSimd).toEqual({
      used: false,
      reason: `V8 ${process.versions.v8} has no relaxed SIMD`,
    });
    expect(noAvx2.features.revectorized!.used).toBe(false);
    if (process.arch === 'x64') expect(noAvx2.features.revectorized!.reason).toContain('--no-enable-avx2');
    expect(noAvx2.features.nativeKernels).toEqual({ used: true });
  });
});
