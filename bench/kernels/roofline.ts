/** What the machine can do at most, one thread, measured with the same emitter and in the same run as the kernels:
 * bytes read from memory, and multiply-adds on registers. */
import type { Statement } from '../../engine/kernels/wasm/emitter/code.ts';
import { advance, countDown } from '../../engine/kernels/wasm/emitter/control.ts';
import { FunctionBuilder } from '../../engine/kernels/wasm/emitter/function-builder.ts';
import { buildModule } from '../../engine/kernels/wasm/emitter/module-builder.ts';
import { f32x4, i16x8, i32x4, v128 } from '../../engine/kernels/wasm/emitter/simd.ts';
import { TOUCHED_BYTES, touchPages } from '../../engine/kernels/wasm/generators/touch-pages.ts';
import { withV8Flags } from '../../engine/kernels/wasm/v8-flags.ts';
import { type WasmMemory, WebAssemblyApi } from '../../engine/kernels/wasm/web-assembly.ts';

const READ_BYTES = 256;
/** Independent chains, so that latency does not show: as many pairs as there are registers to spare. */
const NUM_CHAINS = 20;
const STEPS_PER_ROUND = 4;

export interface Roofline {
  /** Reads `numBytes` (a multiple of 256) from `address`. */
  read(address: number, numBytes: number): void;
  /** f32 multiply-adds. Returns the operations of `rounds` (2 per multiply-add). */
  f32(rounds: number): number;
  /** `i32x4.dot_i16x8_s`, as Q8_0 uses it; the product alone, without adding it up. */
  dotI16(rounds: number): number;
  /** `i16x8.relaxed_dot_i8x16_i7x16_s`, as Q4_0 uses it; likewise. */
  dotI8(rounds: number): number;
}

export function newRoofline(memory: WasmMemory, flags: readonly string[]): Roofline {
  const functions = [
    touchPages(),
    readLoop(),
    peakLoop('f32', (x, y, sum) => f32x4.relaxedMadd(x, y, sum)),
    // Chains of products: one of what the loop does not change would be computed once, before it.
    peakLoop('dotI16', (_, y, sum) => i32x4.dotI16x8S(sum, y)),
    peakLoop('dotI8', (_, y, sum) => i16x8.relaxedDotI8x16I7x16S(sum, y)),
  ];
  const module = withV8Flags(
    flags,
    () => new WebAssemblyApi.Module(buildModule(functions, `roofline ${flags.join()}`)),
  );
  const kernels = new WebAssemblyApi.Instance(module, { env: { memory } }).exports as Record<
    string,
    (...a: number[]) => void
  >;
  const peak = (name: string, lanes: number) => (rounds: number) => {
    kernels[name]!(0, rounds);
    return 2 * lanes * NUM_CHAINS * STEPS_PER_ROUND * rounds;
  };
  return {
    // Pages are touched before they are read, as by the matmul kernels.
    read: (address, numBytes) => {
      for (let done = 0; done < numBytes; done += TOUCHED_BYTES) {
        const [start, length] = [address + done, Math.min(TOUCHED_BYTES, numBytes - done)];
        kernels.touch_pages!(start, start + length);
        kernels.read!(start, length / READ_BYTES);
      }
    },
    f32: peak('f32', 4),
    dotI16: peak('dotI16', 8),
    dotI8: peak('dotI8', 16),
  };
}

/** (address, rounds): ors everything together, so that no load can be left out. */
function readLoop(): FunctionBuilder {
  const fn = new FunctionBuilder('read');
  const [address, rounds] = [fn.param('i32'), fn.param('i32')];
  const sums = fn.locals('v128', 4);
  const loads = Array.from({ length: READ_BYTES / 16 }, (_, i) => {
    const sum = sums[i % 4]!;
    return sum.set(v128.or(sum, v128.load(address, 16 * i)));
  });
  fn.emit(countDown(rounds, ...loads, advance(address, READ_BYTES)));
  const [a, b, c, d] = sums as [V, V, V, V];
  fn.returns(i32x4.extractLane(v128.or(v128.or(a, b), v128.or(c, d)), 0));
  return fn;
}

type V = ReturnType<FunctionBuilder['local']> & { readonly type: 'v128' };

function peakLoop(name: string, step: (x: V, y: V, sum: V) => Parameters<V['set']>[0]): FunctionBuilder {
  const fn = new FunctionBuilder(name);
  const [address, rounds] = [fn.param('i32'), fn.param('i32')];
  const factors = fn.locals('v128', 4) as V[];
  const sums = fn.locals('v128', NUM_CHAINS) as V[];
  const steps: Statement[] = [];
  for (let s = 0; s < STEPS_PER_ROUND; s++) {
    for (const [i, sum] of sums.entries()) steps.push(sum.set(step(factors[i % 2]!, factors[2 + (i % 2)]!, sum)));
  }
  // The halves of a pair, here as in the kernels: side by side, loaded from 16 bytes apart.
  fn.emit(
    ...factors.map((factor, i) => factor.set(v128.load(address, 0x20000 + 16 * i))),
    ...sums.map((sum, i) => sum.set(v128.load(address, 0x20100 + 16 * i))),
    countDown(rounds, ...steps),
    ...sums.map((sum, i) => v128.store(address, sum, 0x20100 + 16 * i)),
  );
  return fn;
}
