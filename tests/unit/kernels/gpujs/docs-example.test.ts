/** The page about these kernels shows one and what becomes of it: both must be what is really there. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { compileKernel } from '../../../../engine/kernels/gpujs/kernel-compiler.ts';
import { SILU_MUL } from '../../../../engine/kernels/gpujs/kernels/gated-activation.ts';
import { loadGpujs } from '../../../../engine/kernels/gpujs/load-gpujs.ts';

const ROOT = resolve(import.meta.dirname, '../../../..');
const page = readFileSync(resolve(ROOT, 'docs/gpujs.md'), 'utf8');
const blocks = [...page.matchAll(/```(ts|wgsl)\n([\s\S]*?)```/g)].map(([, language, code]) => ({
  language,
  code: code!,
}));

it('shows siluMul as it stands in its file', () => {
  const source = readFileSync(resolve(ROOT, 'engine/kernels/gpujs/kernels/gated-activation.ts'), 'utf8');
  const shown = blocks.find(({ language, code }) => language === 'ts' && code.includes('function siluMul'));
  expect(source).toContain(shown!.code.trimEnd());
});

it('shows the WGSL that siluMul becomes', async () => {
  const shown = blocks.find(({ language, code }) => language === 'wgsl' && code.includes('user_gate'));
  expect(compileKernel(await loadGpujs(), SILU_MUL).code).toBe(shown!.code.trimEnd());
});
