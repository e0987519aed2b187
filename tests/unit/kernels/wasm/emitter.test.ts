import { describe, expect, it } from 'vitest';
import { statement } from '../../../../engine/kernels/wasm/emitter/code.ts';
import {
  advance,
  block,
  branchIf,
  countDown,
  countDownFromAny,
  loop,
  when,
} from '../../../../engine/kernels/wasm/emitter/control.ts';
import { FunctionBuilder } from '../../../../engine/kernels/wasm/emitter/function-builder.ts';
import { buildModule } from '../../../../engine/kernels/wasm/emitter/module-builder.ts';
import { f32, f64, i32 } from '../../../../engine/kernels/wasm/emitter/scalar.ts';
import { f32x4, i32x4 } from '../../../../engine/kernels/wasm/emitter/simd.ts';
import { WebAssemblyApi } from '../../../../engine/kernels/wasm/web-assembly.ts';
import { compileFunction } from './run-function.ts';

describe('the WebAssembly emitter', () => {
  it('runs i32 instructions as JavaScript does', () => {
    const binary: Record<string, [keyof typeof i32, (a: number, b: number) => number]> = {
      add: ['add', (a, b) => (a + b) | 0],
      sub: ['sub', (a, b) => (a - b) | 0],
      mul: ['mul', (a, b) => Math.imul(a, b)],
      and: ['and', (a, b) => a & b],
      or: ['or', (a, b) => a | b],
      shl: ['shl', (a, b) => a << b],
      shrU: ['shrU', (a, b) => (a >>> b) | 0],
      divU: ['divU', (a, b) => ((a >>> 0) / (b >>> 0)) | 0],
      remU: ['remU', (a, b) => ((a >>> 0) % (b >>> 0)) | 0],
      eq: ['eq', (a, b) => Number(a === b)],
      ltU: ['ltU', (a, b) => Number(a >>> 0 < b >>> 0)],
      geU: ['geU', (a, b) => Number(a >>> 0 >= b >>> 0)],
    };
    for (const [name, [op, expected]] of Object.entries(binary)) {
      const emit = i32[op] as typeof i32.add;
      const { run } = compileFunction((fn) => emit(fn.param('i32'), fn.param('i32')));
      for (const [a, b] of [
        [7, 3],
        [-7, 3],
        [3, -7],
        [2 ** 31 - 1, 5],
        [5, 5],
      ] as const) {
        expect(run(a, b), `${name} ${a} ${b}`).toBe(expected(a, b));
      }
    }
  });

  it('runs f32 and f64 instructions, each rounded to its type', () => {
    const binary = { add: 1, sub: 1, mul: 1, div: 1, max: 1 };
    const expected = {
      add: (a: number, b: number) => a + b,
      sub: (a: number, b: number) => a - b,
      mul: (a: number, b: number) => a * b,
      div: (a: number, b: number) => a / b,
      max: Math.max,
    };
    for (const name of Object.keys(binary) as (keyof typeof expected)[]) {
      const { run } = compileFunction((fn) => f32[name](fn.param('f32'), fn.param('f32')));
      for (const [a, b] of [
        [0.1, 0.2],
        [-3, 7],
        [1e30, 1e30],
        [Number.NaN, 1],
      ] as const) {
        expect(run(a, b), name).toBe(Math.fround(expected[name](Math.fround(a), Math.fround(b))));
      }
    }
    const root = compileFunction((fn) => f32.sqrt(fn.param('f32')));
    expect(root.run(2)).toBe(Math.fround(Math.SQRT2));
    const wide = compileFunction((fn) => f64.add(f64.promoteF32(fn.param('f32')), f64.const(0.1)));
    expect(wide.run(0.1)).toBe(Math.fround(0.1) + 0.1);
  });

  it('counts down, once at least or perhaps never', () => {
    const rounds = (never: boolean) =>
      compileFunction((fn) => {
        const count = fn.param('i32');
        const sum = fn.local('i32');
        fn.emit((never ? countDownFromAny : countDown)(count, sum.set(i32.add(sum, count))));
        return sum;
      }).run;
    expect(rounds(false)(4)).toBe(4 + 3 + 2 + 1);
    expect(rounds(true)(4)).toBe(10);
    expect(rounds(true)(0)).toBe(0);
  });

  it('leaves blocks and repeats loops', () => {
    const { run } = compileFunction((fn) => {
      const limit = fn.param('i32');
      const n = fn.local('i32');
      fn.emit(block(loop(branchIf(1, i32.geU(n, limit)), advance(n, 3), branchIf(0, i32.const(1)))));
      fn.emit(when(i32.eq(n, i32.const(12)), n.set(i32.const(100))));
      return i32.select(n, i32.const(-1), i32.ltU(n, i32.const(200)));
    });
    expect([0, 1, 4, 10, 300].map((limit) => run(limit))).toEqual([0, 3, 6, 100, -1]);
  });

  it('loads and stores at an address plus an offset', () => {
    const { run, buffer } = compileFunction((fn) => {
      const at = fn.param('i32');
      fn.emit(i32.store(at, i32.load(at, 4), 300), i32.store16(at, i32.load16U(at, 2), 304));
      fn.emit(f32.store(at, f32.load(at, 8), 308));
      return undefined;
    });
    const words = new Uint32Array(buffer);
    words.set([0xabcd1234, 0x89abcdef, 0x3f800000], 4);
    run(16);
    expect([...words.subarray(79, 82)]).toEqual([0x89abcdef, 0xabcd, 0x3f800000]);
  });

  it('compares f32 numbers; NaN is above nothing', () => {
    const { run } = compileFunction((fn) => f32.gt(fn.param('f32'), fn.param('f32')));
    expect([run(2, 1), run(1, 1), run(0, -0), run(Number.NaN, 1), run(1, Number.NaN)]).toEqual([1, 0, 0, 0, 0]);
  });

  it('sets an equal vector constant only once, before the body', () => {
    const fn = new FunctionBuilder('f');
    const one = fn.constant(f32x4.constant(1));
    expect(fn.constant(f32x4.constant(1))).toBe(one);
    expect(fn.constant(f32x4.constant(2))).not.toBe(one);
    const { run } = compileFunction((f) => i32x4.extractLane(f.constant(i32x4.splat(-7)), 3));
    expect(run()).toBe(-7);
  });

  it('refuses a parameter after a local, whose index it would take', () => {
    const fn = new FunctionBuilder('f');
    fn.local('i32');
    expect(() => fn.param('i32')).toThrow(/before locals/);
  });

  it('calls functions of the module by the number that each has there', () => {
    const store = (name: string, factor: number): FunctionBuilder => {
      const fn = new FunctionBuilder(name);
      const { address, value } = fn.params('address', 'value');
      fn.emit(i32.store(address, i32.mul(value, i32.const(factor))));
      return fn;
    };
    // So many functions that numbers take two bytes.
    const others = Array.from({ length: 130 }, (_, i) => store(`other${i}`, 0));
    const [twice, thrice] = [store('twice', 2), store('thrice', 3)];
    const both = new FunctionBuilder('both');
    const value = both.param('i32');
    both.emit(
      both.call('twice', i32.const(16), value),
      when(value, both.call('thrice', i32.const(20), i32.load(i32.const(16)))),
      both.call('twice', i32.const(24), i32.const(0xffff)),
    );
    const memory = new WebAssemblyApi.Memory({ initial: 1, maximum: 1, shared: true });
    for (const functions of [
      [both, ...others, twice, thrice],
      [thrice, twice, both],
    ]) {
      const module = new WebAssemblyApi.Module(buildModule(functions, 'calls'));
      const { exports } = new WebAssemblyApi.Instance(module, { env: { memory } });
      (exports.both as (value: number) => void)(7);
      expect([...new Int32Array(memory.buffer, 16, 3)]).toEqual([14, 42, 0x1fffe]);
    }
    expect(() => buildModule([both, twice], '')).toThrow('thrice is called and is not in the module');
  });

  it('makes modules that differ by their variant only, and no valid one from wrong code', () => {
    const define = () => {
      const fn = new FunctionBuilder('f');
      fn.returns(i32.const(1));
      return fn;
    };
    const [a, b] = [buildModule([define()], 'aa'), buildModule([define()], 'bb')];
    expect(a.length).toBe(b.length);
    expect(a).not.toEqual(b);
    expect(WebAssemblyApi.validate(a)).toBe(true);
    const broken = new FunctionBuilder('f');
    broken.emit(statement('\x6a'));
    expect(WebAssemblyApi.validate(buildModule([broken], ''))).toBe(false);
  });
});
