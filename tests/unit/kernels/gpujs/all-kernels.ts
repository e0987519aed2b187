/** Every kernel that a file of `kernels/` exports, so that a new one cannot be forgotten. */
import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { KernelSource } from '../../../../engine/kernels/gpujs/kernel-source.ts';

const FOLDER = resolve(import.meta.dirname, '../../../../engine/kernels/gpujs/kernels');

export async function allKernels(): Promise<readonly KernelSource[]> {
  const found = new Set<KernelSource>();
  for (const file of readdirSync(FOLDER)) {
    const exported = Object.values((await import(join(FOLDER, file))) as Record<string, unknown>);
    for (const value of exported) {
      for (const candidate of isKernel(value) ? [value] : Object.values(value as object)) {
        if (isKernel(candidate)) found.add(candidate);
      }
    }
  }
  return [...found];
}

function isKernel(value: unknown): value is KernelSource {
  return typeof value === 'object' && value !== null && 'kernel' in value && 'parameters' in value;
}
