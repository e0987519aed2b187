/** From function to WGSL, without a device: every kernel compiles, and every guard against what gpu.js gets wrong in
 * silence trips. */
import { beforeAll, describe, expect, it } from 'vitest';
import { InvalidArgumentError, UnsupportedError } from '../../../../engine/errors.ts';
import { checkSource } from '../../../../engine/kernels/gpujs/check-source.ts';
import { compileKernel, KernelCompiler } from '../../../../engine/kernels/gpujs/kernel-compiler.ts';
import type { KernelSource, KernelThread, Matrix, Vector } from '../../../../engine/kernels/gpujs/kernel-source.ts';
import { ADD } from '../../../../engine/kernels/gpujs/kernels/add.ts';
import { GATHER_ROWS } from '../../../../engine/kernels/gpujs/kernels/gather-rows.ts';
import { ROPE } from '../../../../engine/kernels/gpujs/kernels/rope.ts';
import { WRITE_KV } from '../../../../engine/kernels/gpujs/kernels/write-kv.ts';
import {
  GPUJS_VERSION,
  type GpujsCompiler,
  type GpujsPackage,
  loadGpujs,
} from '../../../../engine/kernels/gpujs/load-gpujs.ts';
import { rewriteWgsl } from '../../../../engine/kernels/gpujs/rewrite-wgsl.ts';
import { allKernels } from './all-kernels.ts';

let gpujs: GpujsCompiler;
beforeAll(async () => {
  gpujs = await loadGpujs();
});

const NONE: ReadonlySet<string> = new Set();

/** A kernel over one matrix, with the function given. */
function source(kernel: KernelSource['kernel'], parameters: KernelSource['parameters'] = { a: 'f32' }): KernelSource {
  return { kernel, parameters, result: 'element' };
}

describe('every kernel', async () => {
  it.each(await allKernels())('$kernel.name ($parameters) compiles', (kernel) => {
    const { code, bindings, label } = compileKernel(gpujs, kernel);
    const arrays = Object.values(kernel.parameters).filter((kind) => kind !== 'integer' && kind !== 'float');
    expect(bindings).toEqual(['uniform', ...arrays.map(() => 'read'), 'read_write']);
    expect(code.match(/@binding\(/g)).toHaveLength(bindings.length);
    expect(label).toContain(kernel.kernel.name);
  });

  it('needs at most the 8 storage buffers that every WebGPU device offers', async () => {
    for (const kernel of await allKernels()) {
      const { bindings, label } = compileKernel(gpujs, kernel);
      expect(bindings.length - 1, label).toBeLessThanOrEqual(8);
    }
  });

  it('is compiled once', () => {
    const compiler = new KernelCompiler(gpujs);
    expect(compiler.kernelOf(ADD)).toBe(compiler.kernelOf(ADD));
    expect(compiler.kernelOf(ADD, ['a'])).not.toBe(compiler.kernelOf(ADD));
  });
});

describe('the WGSL', () => {
  it('reads an input that is also the result through the result', () => {
    const { code, bindings } = compileKernel(gpujs, ADD, ['b']);
    expect(bindings).toEqual(['uniform', 'read', 'read_write']);
    expect(code).not.toContain('var<storage, read> user_b');
    expect(code).toMatch(/fn get_user_b\([^}]*return result\[i\];/);
  });

  it('writes where the kernel says, and only there', () => {
    for (const kernel of [WRITE_KV.f32, WRITE_KV.f16, ROPE]) {
      const { code } = compileKernel(gpujs, kernel);
      expect(code).toContain('put_result(kernelResultVec);');
      expect(code).not.toContain('result[data_index');
    }
  });

  it('counts flat indices in u32', () => {
    expect(compileKernel(gpujs, ADD).code).toContain('params.user_a_dims.w + u32(x) + params.user_a_dims.x * (u32(y)');
  });
});

describe('loading gpu.js', () => {
  it('takes one version only', async () => {
    const { WebGPUKernel } = (await import('gpu.js')) as unknown as GpujsPackage;
    await expect(loadGpujs(async () => ({ version: GPUJS_VERSION, WebGPUKernel }))).resolves.toBeDefined();
    await expect(loadGpujs(async () => ({ version: '2.24.2', WebGPUKernel }))).rejects.toThrow(UnsupportedError);
    await expect(loadGpujs(async () => ({ version: '2.24.2', WebGPUKernel }))).rejects.toThrow(/2\.24\.1.*2\.24\.2/);
  });

  it('is a sentence when it is not installed', async () => {
    const missing = async (): Promise<never> => {
      throw new Error("Cannot find package 'gpu.js'");
    };
    await expect(loadGpujs(missing)).rejects.toThrow(UnsupportedError);
    await expect(loadGpujs(missing)).rejects.toThrow(/'gpu\.js' is not installed \(npm install gpu\.js@2\.24\.1\)/);
    const broken = (): Promise<never> => Promise.reject(new Error('Unexpected token'));
    await expect(loadGpujs(broken)).rejects.toThrow(/gpu\.js 2\.24\.1 cannot be loaded: Unexpected token/);
  });
});

describe('a kernel is refused', () => {
  const refusals: readonly (readonly [string, KernelSource, RegExp])[] = [
    [
      'when sibling loops share a variable',
      source(function siblings(this: KernelThread, a: Vector) {
        let sum = 0;
        for (let i = 0; i < 3; i++) sum += a[i]!;
        for (let i = 0; i < 4; i++) sum += a[i]!;
        return sum;
      } as never),
      /'i' twice/,
    ],
    [
      'when a variable hides a parameter',
      source(function hides(this: KernelThread, a: Vector) {
        let sum = a[0]!;
        for (let a = 0; a < 3; a++) sum += a;
        return sum;
      } as never),
      /'a' twice/,
    ],
    [
      'when a loop starts at a thread index',
      source(function start(this: KernelThread, a: Vector) {
        let sum = 0;
        for (let i = this.thread.x; i < 4; i++) sum += a[i]!;
        return sum;
      } as never),
      /must write its loops as/,
    ],
    [
      'when a loop has no bound that is known',
      source(function forever(this: KernelThread, a: Vector) {
        let i = 0;
        while (a[i]! > 0) i++;
        return i;
      } as never),
      /loop with for/,
    ],
    [
      'when a loop is bounded by a parameter that is no whole number',
      source(
        function bound(this: KernelThread, a: Vector, end: number) {
          let sum = 0;
          for (let i = 0; i < end; i++) sum += a[i]!;
          return sum;
        } as never,
        { a: 'f32', end: 'float' },
      ),
      /bounds a loop by end/,
    ],
    [
      'when it takes remainders',
      source(function remainder(this: KernelThread, a: Vector) {
        return a[this.thread.x % 3]!;
      } as never),
      /must not use %/,
    ],
    [
      'when it names an integer that an f32 cannot hold',
      source(function large(this: KernelThread, a: Vector) {
        return a[0]! + 16777217;
      } as never),
      /16777217/,
    ],
    [
      'when it skips the rest of a round',
      source(function skip(this: KernelThread, a: Vector) {
        let sum = 0;
        for (let i = 0; i < 3; i++) {
          if (a[i]! > 0) continue;
          sum += a[i]!;
        }
        return sum;
      } as never),
      /must not use continue/,
    ],
    [
      'when it counts outside of a loop',
      source(function count(this: KernelThread, a: Vector) {
        let k = 0;
        k++;
        k = k * 0.5;
        return a[k]!;
      } as never),
      /\+\+ or -- but to step a loop/,
    ],
    [
      "when it assigns to a loop's variable",
      source(function assign(this: KernelThread, a: Vector) {
        let sum = 0;
        for (let i = 0; i < 8; i++) {
          sum += a[i]!;
          i += 1;
        }
        return sum;
      } as never),
      /assigns to i/,
    ],
    [
      'when it names a number that WGSL lacks',
      source(function lowest(this: KernelThread, a: Vector) {
        return Math.max(a[0]!, -Infinity);
      } as never),
      /Infinity or NaN/,
    ],
    [
      'when it chooses between values',
      source(function choose(this: KernelThread, a: Vector) {
        return this.thread.x < 3 ? a[this.thread.x]! : 0;
      } as never),
      /a \? b : c/,
    ],
    [
      'when it chooses among many',
      source(function many(this: KernelThread, a: Vector) {
        switch (this.thread.x) {
          case 0:
            return 1;
          default:
            return a[0]!;
        }
      } as never),
      /must not use switch/,
    ],
    [
      'when it calls a function that a GPU lacks or computes otherwise',
      source(function grow(this: KernelThread, a: Vector) {
        return Math.expm1(a[0]!);
      } as never),
      /uses Math\.expm1; of Math there are abs, ceil/,
    ],
    ['when it has no name', source(((a: Vector) => a[0]!) as never), /named function/],
  ];

  it.each(refusals)('%s', (_, kernel, message) => {
    expect(() => compileKernel(gpujs, kernel)).toThrow(InvalidArgumentError);
    expect(() => compileKernel(gpujs, kernel)).toThrow(message);
  });

  it('not for an integer that is just exact, nor for what stands in a comment', () => {
    function fine(this: KernelThread, a: Vector) {
      // while (a % 16777217)
      return a[0]! + 16777216 + 0.16777217;
    }
    expect(() => checkSource(source(fine as never))).not.toThrow();
  });

  it('when gpu.js cannot compile it', () => {
    function text(this: KernelThread, a: Vector) {
      return a[0]! + ('x' as unknown as number);
    }
    expect(() => compileKernel(gpujs, source(text as never))).toThrow(/kernel text: gpu\.js cannot compile it/);
  });

  it('when it uses what lies outside of it', () => {
    const OUTSIDE = 3;
    function outside(this: KernelThread, a: Matrix) {
      return a[0]![0]! * OUTSIDE;
    }
    expect(() => compileKernel(gpujs, source(outside as never))).toThrow(/OUTSIDE/);
  });

  it('when it calls what lies outside of it', () => {
    const helper = (x: number): number => x + 1;
    function calls(this: KernelThread, a: Vector) {
      return helper(a[0]!);
    }
    expect(() => compileKernel(gpujs, source(calls as never))).toThrow(/helper/);
  });

  it('when something else than f32 lies where the result goes', () => {
    expect(() => compileKernel(gpujs, GATHER_ROWS, ['x'])).not.toThrow();
    expect(() => compileKernel(gpujs, GATHER_ROWS, ['rows'])).toThrow(/the result's holds f32, not i32/);
  });

  it('when its parameters are not those it declares', () => {
    function add(this: KernelThread, b: Vector) {
      return b[0]!;
    }
    expect(() => compileKernel(gpujs, source(add as never))).toThrow(/parameters a of the function, got b/);
  });

  it('when it returns something else than it declares', () => {
    expect(() => compileKernel(gpujs, { ...ADD, result: 'scatter' })).toThrow(/array of 4/);
    expect(() => compileKernel(gpujs, { ...ADD, result: 'pair' })).toThrow(/array of 2/);
    expect(() => compileKernel(gpujs, { ...ROPE, result: 'element' })).toThrow(/one number/);
  });
});

it.each([
  ['outputX : u32', 'outputW : u32'],
  ['  user_b_dims : vec4<u32>,', '  user_b_size : vec4<u32>,'],
  ['var<storage, read> user_a : array<f32>', 'var<storage, read> user_a : array<f16>'],
  ['return user_b[u32(x + i32(', 'return user_b[u32(x - i32('],
  ['@workgroup_size(8, 8, 1)', '@workgroup_size(16, 16, 1)'],
  ['result[data_index] = ', 'output[data_index] = '],
  ['let data_index : i32', 'let data_index : u32'],
])('a change of what gpu.js generates is noticed: %s', (now, then) => {
  const { wgsl, parameterNames } = gpujs.translate(ADD);
  expect(wgsl).toContain(now);
  expect(() => rewriteWgsl({ wgsl, parameterNames }, ADD, NONE)).not.toThrow();
  const changed = { wgsl: wgsl.replace(now, then), parameterNames };
  expect(() => rewriteWgsl(changed, ADD, NONE)).toThrow(UnsupportedError);
});

it('another bound of loops is noticed', () => {
  function loops(this: KernelThread, a: Vector, end: number) {
    let sum = 0;
    for (let i = 0; i < end; i++) sum += a[i]!;
    return sum;
  }
  const kernel = source(loops as never, { a: 'f32', end: 'integer' });
  const { wgsl, parameterNames } = gpujs.translate(kernel);
  expect(() => rewriteWgsl({ wgsl, parameterNames }, kernel, NONE)).not.toThrow();
  const changed = { wgsl: wgsl.replace('LOOP_MAX : i32 = 16777216', 'LOOP_MAX : i32 = 1000'), parameterNames };
  expect(() => rewriteWgsl(changed, kernel, NONE)).toThrow(/LOOP_MAX/);
});
