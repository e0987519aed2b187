/** Runs every kernel of two modules on the same memory contents and compares all bytes that they leave. V8's
 * revectorization is experimental: a kernel that it compiled wrongly must be found here and not in somebody's text. */
import { Rng } from '../../util/rng.ts';
import { PAGE_BYTES } from './emitter/module-builder.ts';
import { instantiateKernels, type Kernels } from './kernel-module.ts';
import { type WasmModule, WebAssemblyApi } from './web-assembly.ts';

const NUM_PAGES = 4;
const [A, B, OUT, SCRATCH] = [0x1000, 0x11000, 0x21000, 0x31000];
/** Attention's records and strips (generators/attention-scratch.ts). */
const [RECORDS, STRIPS] = [SCRATCH - 0x900, SCRATCH - 0x800];
/** Numbers of pages. */
const TABLE = SCRATCH - 0xa00;
const SEED = 20240229;
/** After so many numbers the same come again. Prime, so that kernels never find the same at two places they look at. */
const PERIOD = 1021;

/** Arguments for a kernel, by the start of its name. Counts are such that the bulk, the rest and several rounds run. */
const SAMPLES: readonly (readonly [prefix: string, args: readonly number[]])[] = [
  ['matmul_unpacked', [A, B, OUT, 160, 3, 2, A + 0x800, B + 0x800, 3]],
  ['matmul_', [A, B, OUT, 160, 3, 2, A + 0x800, B + 0x800, B + 0x1000, 96]],
  ['unpack_', [A, OUT, 6]],
  ['quantize_i16', [A, OUT, OUT + 256, 272, 3]],
  ['quantize_i8', [A, OUT, 176, 3]],
  ['quantize_k', [A, OUT, OUT + 0x800, 320, 3, OUT + 0x900]],
  ['spread_f32', [A, OUT, 64, 37, 0.5]],
  ...(['pack_q4_k', 'pack_q5_k', 'pack_q6_k'] as const).map((name) => [name, [A, OUT, 5, 3]] as const),
  ['pack_q', [A, OUT, OUT + 0x4000, 3]],
  ['pack_', [A, OUT, 37]],
  ['add', [A, B, OUT, 61, 3, 256, 288]],
  ['silu_mul', [A, B, OUT, 61, 3, 256, 288]],
  ['gelu_mul', [A, B, OUT, 61, 3, 256, 288]],
  ['rms_norm', [A, B, OUT, 61, 1 / 61, 1e-5]],
  ['layer_norm', [A, B, B + 0x400, OUT, 61, 1 / 61, 1e-5]],
  ['rope', [OUT, B, 17, 8, 4]],
  ['row_max', [A, 61]],
  ['find_above', [A, 61, 1.9]],
  ['touch_pages', [A, B]],
  ['highest', [A, 61]],
  ['sum_wide_exp', [A, 61, 2, 0.7]],
  ['sum_exp', [A, 61, 2]],
  ['widen_rows', [A, OUT, 43, 3, 200, 256]],
  ['widen_', [A, OUT, 64, SCRATCH]],
  ['attention_clear', [RECORDS, OUT, A, 0x80, 3]],
  ['attention_queries', [A, OUT, 96, 0x180, 3]],
  ['attention_merge', [RECORDS, RECORDS + 0x60, 43, 3, 2, 0x30]],
  ['attention_finish', [RECORDS, B, 43, 3]],
  ['attention_scores', [RECORDS, STRIPS, SCRATCH, 48, 3, 55, 2, 3, 0x400, 0.3]],
  ['attention_softmax', [RECORDS, SCRATCH, 3, 55, 2, 3, 0, 1, 5, 2]],
  [
    'attention_section',
    [RECORDS, STRIPS, SCRATCH, 32, 3, 133, 2, 3, 0x400, A, B, TABLE, 32, 0x1000, 0x800, 1, 0.3, 5, 2],
  ],
  ['attention_values', [RECORDS, STRIPS, SCRATCH, 48, 3, 55, 2, 3, 0x400]],
  ['has_special_f16', [A, 61]],
  ['scale_floats', [A, OUT, 61, 0.5]],
  ['lay_', [A, OUT, OUT + 32, 3]],
  ['store_lane_q8_0', [A, OUT, OUT + 32, 3]],
  ['store_row_q8_0', [A, OUT, 3]],
  ['store_value_q8_0', [A, OUT, OUT + 32, 3]],
  ['store_value', [A, OUT, 3]],
  ['store_', [A, OUT, 61]],
];

/** Names of the kernels whose results differ in any bit; empty when all agree.
 * @throws Error for a kernel without a sample */
export function differingKernels(module: WasmModule, baseline: WasmModule): string[] {
  const initial = initialMemory();
  const [tested, trusted] = [new Bench(module, initial), new Bench(baseline, initial)];
  return Object.keys(trusted.kernels).filter((name) => {
    const args = SAMPLES.find(([prefix]) => name.startsWith(prefix))?.[1];
    if (args === undefined) throw new Error(`kernel ${name} has no self-test`);
    const results = [tested.run(name, args), trusted.run(name, args)];
    return !Object.is(results[0], results[1]) || !tested.bytes.equals(trusted.bytes);
  });
}

/** Random numbers from -2 to 2, also where they are read as f16, and among them the lists of addresses that some kernels
 * read. No NaN: which of two that meet goes on depends on the order of the operands, and that is V8's to choose. */
function initialMemory(): Buffer {
  const rng = Rng.fromSeed(SEED);
  const values = new Float32Array((NUM_PAGES * PAGE_BYTES) / 4);
  for (let i = 0; i < PERIOD; i++) values[i] = 4 * rng.nextFloat() - 2;
  for (let filled = PERIOD; filled < values.length; filled *= 2) values.copyWithin(filled, 0, filled);
  const ints = new Int32Array(values.buffer);
  for (let i = 0; i < ints.length; i++) ints[i]! &= ~0x4000;
  for (let i = 0; i < 12; i++) {
    ints.set([A + 0x100 * i, OUT + 0x100 * i], RECORDS / 4 + 4 * i);
    ints.set([A + 0x1000 * i, B + 0x1000 * i], STRIPS / 4 + 2 * i);
  }
  ints.set([2, 0, 3, 1, 4], TABLE / 4);
  return Buffer.from(values.buffer);
}

/** A module over a small memory of its own. */
class Bench {
  readonly kernels: Kernels;
  /** All of its memory. */
  readonly bytes: Buffer;
  readonly #initial: Buffer;

  constructor(module: WasmModule, initial: Buffer) {
    const memory = new WebAssemblyApi.Memory({ initial: NUM_PAGES, maximum: NUM_PAGES, shared: true });
    this.kernels = instantiateKernels([module], memory);
    this.bytes = Buffer.from(memory.buffer);
    this.#initial = initial;
  }

  /** Calls a kernel on the initial memory.
   * @returns what it returned */
  run(name: string, args: readonly number[]): number {
    this.#initial.copy(this.bytes);
    return this.kernels[name]!(...args) ?? 0;
  }
}
