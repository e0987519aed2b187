/** Whether this process's V8 can use AVX2, which revectorized code is made of. V8 does not say: without AVX2 it accepts
 * the flag and goes on with 128 bits. */
import { readFileSync } from 'node:fs';

/** What the answer depends on; a test brings its own. */
export interface Avx2Sources {
  readonly arch: string;
  /** Options that the process was started with. */
  readonly options: readonly string[];
  /** Linux's list of what the CPUs are and can do, or undefined where there is none. */
  readonly cpuInfo: () => string | undefined;
}

const SYSTEM: Avx2Sources = {
  arch: process.arch,
  options: [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)],
  cpuInfo: () => {
    try {
      return readFileSync('/proc/cpuinfo', 'utf8');
    } catch {
      return undefined;
    }
  },
};

/** V8 takes these in turn, each needing the ones before. */
const NEEDED = /^--no-enable-(sse3|ssse3|sse4-1|sse4-2|avx|avx2)$/;

/** @returns why not, or undefined when nothing speaks against it: on systems that do not tell, the CPU is given credit */
export function whyNoAvx2({ arch, options, cpuInfo }: Avx2Sources = SYSTEM): string | undefined {
  if (arch !== 'x64') return `V8 does it on x64 only, this is ${arch}`;
  const off = options.map((option) => option.replaceAll('_', '-')).find((option) => NEEDED.test(option));
  if (off !== undefined) return `this process runs with ${off}`;
  const flags = /^flags\s*:(.*)$/m.exec(cpuInfo() ?? '')?.[1]?.split(' ');
  return flags === undefined || flags.includes('avx2') ? undefined : 'this CPU has no AVX2';
}
