/** `quern doctor` on this machine, which runs the tests and so must be healthy. */
import { describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../cli/doctor/diagnosis.ts';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { BACKENDS } from '../../engine/kernels/backend-registry.ts';
import { gpuSkipNote, hasGpu } from '../helpers/gpu.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();

/** A GPU that software plays may take minutes, and its driver talks to stderr. */
const CPU = ['--backend', 'wasm,reference'];

describe('quern doctor', () => {
  it('finds every backend of the registry, and that those of the CPU compute rightly', async () => {
    const { code, stdout } = await runCli(['doctor', ...CPU, '--json']);
    expect(code).toBe(0);
    const diagnosis = JSON.parse(stdout) as Diagnosis;
    expect(diagnosis.backends.map(({ name }) => name).toSorted()).toEqual(BACKENDS.map(({ name }) => name).toSorted());
    expect(diagnosis.backends.filter(({ chosen }) => chosen)).toHaveLength(1);
    for (const { available, reason } of diagnosis.backends) expect(reason === null).toBe(available);
    expect(diagnosis.selfChecks).toMatchObject([
      { backend: expect.stringMatching(/wasm|reference/), ok: true, reason: null },
      { backend: expect.stringMatching(/wasm|reference/), ok: true, reason: null },
    ]);
    expect(diagnosis).toMatchObject({ healthy: true, problems: [], model: null, node: process.version });
    expect(diagnosis.backends.find(({ name }) => name === 'wasm')!.features).toMatchObject({
      relaxedSimd: { used: expect.any(Boolean) },
      revectorized: { used: expect.any(Boolean) },
    });
  });

  it('says so in words, and checks a model too', async () => {
    const { code, stdout } = await runCli(['doctor', ...CPU, '--model', bundledModelPath('draft')]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^quern .*\n\nMachine\n/);
    expect(stdout).toContain('chosen by auto');
    expect(stdout).toMatch(/Model .*story-draft-q8_0.gguf\n {2}weights .*q8_0/);
    expect(stdout).toMatch(/\nhealthy\n$/);
  });

  it('a model that does not run is the only trouble: all else is still told, and the exit code is that of input', async () => {
    const path = await folder.put('torn.gguf', 'GGUF');
    const { code, stdout } = await runCli(['doctor', ...CPU, '--model', path]);
    expect(code).toBe(3);
    expect(stdout).toContain('chosen by auto');
    expect(stdout).toMatch(/\nPROBLEM {2}.*torn\.gguf.*\n$/);
  });

  it.skipIf(!hasGpu)(`tells of the GPU, and that kernels compute rightly on it${gpuSkipNote}`, async () => {
    const { code, stdout } = await runCli(['doctor', '--backend', 'webgpu,gpujs', '--json']);
    const { gpu, selfChecks, backends } = JSON.parse(stdout) as Diagnosis;
    expect(code).toBe(0);
    expect(selfChecks.map(({ backend, ok }) => [backend, ok]).toSorted()).toEqual([
      ['gpujs', true],
      ['webgpu', true],
    ]);
    expect(gpu).toMatchObject({ packages: { webgpu: '0.6.2', 'gpu.js': '2.24.1' }, reason: null });
    expect(gpu.adapter!.name).not.toBe('');
    // Software is never chosen by itself.
    const chosen = backends.find(({ chosen }) => chosen)!.name;
    expect(chosen).toBe(gpu.adapter!.isSoftware ? 'wasm' : 'webgpu');
  });

  it('refuses a backend that nobody knows', async () => {
    const { code, stdout, stderr } = await runCli(['doctor', '--backend', 'wasm,abacus']);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/--backend: must be among .*wasm.*; got abacus\n$/);
  });
});
