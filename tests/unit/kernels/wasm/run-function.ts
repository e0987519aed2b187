/** Builds a module of one function, over a small memory, and gives both. */
import type { Expression, ValueType } from '../../../../engine/kernels/wasm/emitter/code.ts';
import { FunctionBuilder } from '../../../../engine/kernels/wasm/emitter/function-builder.ts';
import { buildModule } from '../../../../engine/kernels/wasm/emitter/module-builder.ts';
import { WebAssemblyApi } from '../../../../engine/kernels/wasm/web-assembly.ts';

export type Run = (...args: number[]) => number;

/** @param define  emits the body; what it returns the function returns */
export function compileFunction(define: (fn: FunctionBuilder) => Expression<ValueType> | undefined) {
  const fn = new FunctionBuilder('f');
  const result = define(fn);
  if (result !== undefined) fn.returns(result);
  const memory = new WebAssemblyApi.Memory({ initial: 1, maximum: 1, shared: true });
  const module = new WebAssemblyApi.Module(buildModule([fn], 'test'));
  const { exports } = new WebAssemblyApi.Instance(module, { env: { memory } });
  return { run: exports.f as Run, bytes: new Uint8Array(memory.buffer), buffer: memory.buffer };
}
