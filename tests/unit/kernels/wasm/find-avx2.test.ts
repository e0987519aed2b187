import { describe, expect, it } from 'vitest';
import { whyNoAvx2 } from '../../../../engine/kernels/wasm/find-avx2.ts';

const INTEL = 'processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2 fma\nbugs\t\t:\n';

describe('whyNoAvx2', () => {
  it.each([
    ['x64', [], INTEL, undefined],
    ['x64', [], INTEL.replace(' avx2', ''), /no AVX2/],
    ['x64', [], undefined, undefined],
    ['x64', ['--no-enable-avx2'], INTEL, /--no-enable-avx2/],
    ['x64', ['--max-old-space-size=100', '--no_enable_avx'], INTEL, /--no-enable-avx/],
    ['arm64', [], undefined, /x64 only, this is arm64/],
  ] as const)('%s with options %j', (arch, options, cpuInfo, reason) => {
    const answer = whyNoAvx2({ arch, options, cpuInfo: () => cpuInfo });
    if (reason === undefined) expect(answer).toBeUndefined();
    else expect(answer).toMatch(reason);
  });
});
