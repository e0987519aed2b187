import { describe, expect, it } from 'vitest';
import { backendReports } from '../../../cli/doctor/backend-report.ts';
import { type Diagnosis, problemsOf } from '../../../cli/doctor/diagnosis.ts';
import { diagnosisLines } from '../../../cli/doctor/diagnosis-text.ts';
import { machineReport, runtimeReport } from '../../../cli/doctor/machine-report.ts';
import { checkModel } from '../../../cli/doctor/model-check.ts';
import { SELF_CHECK_PROMPT, SELF_CHECK_TOKENS, selfCheck } from '../../../cli/doctor/self-check.ts';
import { bundledModelPath } from '../../../engine/bundled-model.ts';
import type { BackendEntry } from '../../../engine/kernels/backend-registry.ts';
import { ReferenceBackend } from '../../../engine/kernels/reference/reference-backend.ts';
import { readJson } from '../../helpers/fixtures.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';

const folder = useTemporaryFolder();
const { signal } = new AbortController();

describe('self-check', () => {
  it('expects what PyTorch chose, where the choice is clear even in Q8_0', async () => {
    interface Golden {
      readonly prompts: { readonly prompt: string; readonly greedy_ids: number[]; readonly margins: number[] }[];
    }
    const { prompts } = await readJson<Golden>(new URL('../../golden/story-4m.json', import.meta.url).pathname);
    const golden = prompts.find(({ prompt }) => prompt === SELF_CHECK_PROMPT)!;
    expect(golden.greedy_ids.slice(0, SELF_CHECK_TOKENS.length)).toEqual(SELF_CHECK_TOKENS);
    expect(Math.min(...golden.margins.slice(0, SELF_CHECK_TOKENS.length))).toBeGreaterThan(0.3);
  });

  it('fails where other tokens come out', async () => {
    expect(await selfCheck('auto', { path: bundledModelPath('draft'), signal })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/^token \d+ should be \d+, but is \d+$/),
    });
  });

  it('fails where nothing comes out', async () => {
    const path = await folder.put('broken.gguf', 'GGUF');
    expect(await selfCheck('auto', { path, signal })).toMatchObject({
      ok: false,
      reason: expect.stringContaining(path),
    });
    expect(await selfCheck('abacus', { signal })).toMatchObject({ ok: false, backend: 'abacus' });
    const stopped = await selfCheck('auto', { signal: AbortSignal.abort() });
    expect(stopped).toMatchObject({ ok: false, reason: 'the request was aborted' });
  });
});

describe('backends', () => {
  const entry = (name: string, parts: Partial<BackendEntry>): BackendEntry => ({
    name,
    probe: async () => ({ available: true }),
    create: async () => new ReferenceBackend(),
    ...parts,
  });

  it('tells why one is not there, and which is taken instead', async () => {
    const reports = await backendReports([
      entry('gpu', { probe: async () => ({ available: false, reason: 'no adapter' }) }),
      entry('torn', { probe: () => Promise.reject(new Error('driver crashed')) }),
      entry('plain', {}),
    ]);
    expect(reports).toEqual([
      { name: 'gpu', available: false, reason: 'no adapter', chosen: false, features: {} },
      { name: 'torn', available: false, reason: 'driver crashed', chosen: false, features: {} },
      { name: 'plain', available: true, reason: null, chosen: true, features: {} },
    ]);
  });

  it('puts first what auto prefers on this machine', async () => {
    const reports = await backendReports([entry('plain', {}), entry('gpu', { isPreferred: async () => true })]);
    expect(reports.map(({ name, chosen }) => [name, chosen])).toEqual([
      ['gpu', true],
      ['plain', false],
    ]);
  });

  it('survives one that likes the machine and does not start', async () => {
    const [report] = await backendReports([entry('gpu', { create: () => Promise.reject(new Error('device lost')) })]);
    expect(report).toMatchObject({ available: false, reason: 'does not start: device lost' });
  });
});

describe('runtime', () => {
  it('names what is missing and what that costs', () => {
    const missing = runtimeReport({});
    expect(Object.keys(missing)).toEqual(['sharedMemory', 'webAssembly', 'nativeFloat16']);
    for (const state of Object.values(missing))
      expect(state).toMatchObject({ used: false, reason: /this Node has no/ });
    expect(runtimeReport({ SharedArrayBuffer, WebAssembly: {}, Float16Array: {} }).webAssembly).toEqual({ used: true });
  });

  it('never promises more threads than the mask allows', () => {
    const { cpus, memory } = machineReport();
    expect(cpus.threads).toBeGreaterThanOrEqual(1);
    expect(cpus.threads).toBeLessThanOrEqual(cpus.inAffinityMask);
    expect(memory.availableBytes).toBeLessThanOrEqual(memory.totalBytes);
  });
});

describe('model', () => {
  it('runs', async () => {
    const check = await checkModel(bundledModelPath('draft'), { availableBytes: 2 ** 40, signal });
    expect(check).toMatchObject({ ok: true, reason: null, architecture: 'llama', backend: 'wasm' });
    expect(check.neededBytes).toBeGreaterThan(400_000);
  });

  it('is not loaded where memory does not suffice', async () => {
    const check = await checkModel(bundledModelPath('draft'), { availableBytes: 1000, signal });
    expect(check).toMatchObject({ ok: false, backend: null, reason: expect.stringContaining('1000 are available') });
  });

  it('is a reason where it is missing or damaged', async () => {
    const options = { availableBytes: 2 ** 40, signal };
    expect(await checkModel('/no/such.gguf', options)).toMatchObject({ ok: false, numParameters: null });
    const path = await folder.put('damaged.gguf', 'GGUF\u0003\u0000\u0000');
    expect(await checkModel(path, options)).toMatchObject({
      ok: false,
      reason: expect.stringContaining('damaged.gguf'),
    });
  });
});

describe('verdict', () => {
  const healthy: Omit<Diagnosis, 'problems' | 'healthy'> = {
    ...machineReport(),
    gpu: {
      packages: { webgpu: '0.6.2', 'gpu.js': null },
      devices: [],
      vulkanLoader: null,
      vulkanDrivers: [],
      adapter: null,
      reason: 'no GPU adapter',
    },
    backends: [
      { name: 'gpu', available: false, reason: 'no adapter', chosen: false, features: {} },
      { name: 'wasm', available: true, reason: null, chosen: true, features: {} },
    ],
    bundledModel: { path: 'story.gguf', numBytes: 1 },
    selfChecks: [{ backend: 'wasm', ok: true, reason: null, seconds: 1 }],
    model: null,
  };

  it('a missing GPU is no problem; a wrong token is', () => {
    expect(problemsOf(healthy)).toEqual([]);
    const wrong = { backend: 'gpu', ok: false, reason: 'token 1 should be 2, but is 3', seconds: 1 };
    expect(problemsOf({ ...healthy, selfChecks: [wrong] })).toEqual([
      'self-check on gpu: token 1 should be 2, but is 3',
    ]);
    expect(problemsOf({ ...healthy, bundledModel: { path: 'story.gguf', numBytes: null } })).toHaveLength(1);
    expect(problemsOf({ ...healthy, backends: [] })).toEqual(['no backend is available']);
  });

  it('text shows every problem, and nothing that steers a terminal', () => {
    const problems = ['a\u001b[31m problem'];
    const text = diagnosisLines({ ...healthy, problems, healthy: false }).join('\n');
    expect(text).toContain('PROBLEM');
    expect(text).not.toContain('\u001b');
    expect(text).toContain('not available: no adapter');
    expect(diagnosisLines({ ...healthy, problems: [], healthy: true }).at(-1)).toBe('healthy');
  });
});
