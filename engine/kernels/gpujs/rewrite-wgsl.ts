/** Turns the WGSL that gpu.js generated into the WGSL that we run: other storage declarations and accessors around the
 * same translated body. Whatever it replaces must be there once, word for word; if gpu.js ever writes something else,
 * that is an error when the kernel is built, never a wrong number. Knows the text, not the compiler.
 *
 *   struct Params { sizes of the grid, dims of every array, scalars }     replaced: + result_dims
 *   @group(0) @binding(i) var<storage, ...> ...                           replaced: u32, i32; in place
 *   fn get_user_x(z, y, x) -> f32                                         replaced: storage-accessors.ts
 *   @compute @workgroup_size(8, 8, 1) fn main                             replaced: 64 x 1 x 1, where the result begins
 *   translated statements                                                 kept
 *   result[data_index * 4 + ...] = ...                                    replaced where a kernel says where to write */
import { UnsupportedError } from '../../errors.ts';
import type { GpuBindingKind } from '../webgpu/gpu-kernel.ts';
import { type ElementKind, isScalar, type KernelSource } from './kernel-source.ts';
import { MAX_EXACT_INTEGER, WORKGROUP_SIZE } from './limits.ts';
import { GPUJS_VERSION, type Translation } from './load-gpujs.ts';
import {
  HALF_TO_FLOAT,
  NAN_TO_LOWEST,
  readAccessor,
  resultWordType,
  wordType,
  writeAccessor,
} from './storage-accessors.ts';

export interface RewrittenWgsl {
  readonly code: string;
  readonly bindings: readonly GpuBindingKind[];
}

/** @param inPlace  parameters that lie in the buffer that the result goes to, and are read through its binding: WebGPU
 *   lets a dispatch bind no buffer both for reading and for writing
 * @throws UnsupportedError when the text is not what this version of gpu.js writes */
export function rewriteWgsl(
  { wgsl, parameterNames }: Translation,
  source: KernelSource,
  inPlace: ReadonlySet<string>,
): RewrittenWgsl {
  const text = new GeneratedText(source.kernel.name, wgsl);
  const names = Object.keys(source.parameters);
  text.expect(parameterNames.join() === names.join(), `parameters ${names} of the function, got ${parameterNames}`);
  const arrays = Object.entries(source.parameters).filter(
    (entry): entry is [string, ElementKind] => !isScalar(entry[1]),
  );
  const bound = arrays.filter(([name]) => !inPlace.has(name));

  const element = source.resultElement ?? 'f32';
  text.expect(
    element === 'f32' || source.result === 'scatter',
    `a scatter, as only that writes elements of ${element}`,
  );
  text.replace(header(source), newHeader(source, bound));
  for (const [name, kind] of arrays) {
    const isInPlace = inPlace.has(name);
    const rule = `${name} in a buffer of its own: the result's holds ${element}, not ${kind}`;
    text.expect(!isInPlace || kind === element, rule);
    text.replace(accessor(name), readAccessor(name, kind, isInPlace ? element : undefined));
  }
  text.replace(ENTRY, NEW_ENTRY);
  if (wgsl.includes('LOOP_MAX')) text.expectOnce(`const LOOP_MAX : i32 = ${MAX_EXACT_INTEGER};`);
  replaceStores(text, source);
  expectOnlyDeclaredNames(text, names);

  const reads = (wanted: ElementKind): boolean => arrays.some(([, kind]) => kind === wanted);
  const helpers = [
    reads('f16') || reads('q8_0') ? HALF_TO_FLOAT : '',
    reads('logit') ? NAN_TO_LOWEST : '',
    writeAccessor(source.result, element),
  ].filter((helper) => helper !== '');
  return {
    code: [text.code, ...helpers].join('\n'),
    bindings: ['uniform', ...bound.map(() => 'read' as const), 'read_write'],
  };
}

/** The text, and complaints about it. */
class GeneratedText {
  readonly #kernel: string;
  code: string;

  constructor(kernel: string, code: string) {
    this.#kernel = kernel;
    this.code = code;
  }

  expect(condition: boolean, what: string): void {
    if (condition) return;
    const rule = `the WGSL that gpu.js ${GPUJS_VERSION} generates must have ${what}`;
    throw new UnsupportedError(`gpu.js's translation of ${this.#kernel}`, rule);
  }

  expectOnce(expected: string): void {
    const count = this.code.split(expected).length - 1;
    this.expect(count === 1, `this text once (it has it ${count} times):\n${expected}`);
  }

  replace(expected: string, replacement: string): void {
    this.expectOnce(expected);
    this.code = this.code.replace(expected, () => replacement);
  }
}

function paramsStruct({ parameters }: KernelSource, additions: readonly string[]): string {
  const entries = Object.entries(parameters);
  const dims = entries.filter(([, kind]) => !isScalar(kind)).map(([name]) => `  user_${name}_dims : vec4<u32>,`);
  const scalars = entries
    .filter(([, kind]) => isScalar(kind))
    .map(([name, kind]) => `  user_${name} : ${kind === 'integer' ? 'i32' : 'f32'},`);
  const grid = ['outputX', 'outputY', 'outputZ', 'dispatchWidth'].map((name) => `  ${name} : u32,`);
  return ['struct Params {', ...grid, ...additions, ...dims, ...scalars, '}'].join('\n');
}

function declarations(storage: readonly (readonly [name: string, type: string])[], result: string): string {
  return [
    '@group(0) @binding(0) var<uniform> params : Params;',
    ...storage.map(
      ([name, type], i) => `@group(0) @binding(${i + 1}) var<storage, read> user_${name} : array<${type}>;`,
    ),
    `@group(0) @binding(${storage.length + 1}) var<storage, read_write> result : array<${result}>;`,
  ].join('\n');
}

function header(source: KernelSource): string {
  const arrays = Object.entries(source.parameters).filter(([, kind]) => !isScalar(kind));
  const storage = arrays.map(([name]) => [name, 'f32'] as const);
  return `${paramsStruct(source, [])}\n${declarations(storage, 'f32')}`;
}

function newHeader(source: KernelSource, bound: readonly (readonly [string, ElementKind])[]): string {
  const storage = bound.map(([name, kind]) => [name, wordType(kind)] as const);
  const result = resultWordType(source.resultElement ?? 'f32');
  return `${paramsStruct(source, ['  result_dims : vec4<u32>,'])}\n${declarations(storage, result)}`;
}

function accessor(name: string): string {
  const dims = `params.user_${name}_dims`;
  return [
    `fn get_user_${name}(z : i32, y : i32, x : i32) -> f32 {`,
    `  return user_${name}[u32(x + i32(${dims}.x) * (y + i32(${dims}.y) * z))];`,
    '}',
  ].join('\n');
}

const ENTRY = `@compute @workgroup_size(8, 8, 1)
fn main(@builtin(global_invocation_id) gid : vec3<u32>) {
  threadGid = gid;
  if (gid.x >= params.outputX || gid.y >= params.outputY || gid.z >= params.outputZ) { return; }
  let data_index : i32 = i32(gid.x + params.outputX * (gid.y + params.outputY * gid.z));
`;

/** Strides of the result from its own dims, so that a run may fill a part of it. */
const NEW_ENTRY = ENTRY.replace('8, 8, 1', `${WORKGROUP_SIZE}, 1, 1`).replace(
  'i32(gid.x + params.outputX * (gid.y + params.outputY * gid.z))',
  'i32(params.result_dims.w + gid.x + params.result_dims.x * (gid.y + params.result_dims.y * gid.z))',
);

/** gpu.js stores a returned array's components one after another; `put_result` takes them as what they mean. */
const VECTOR_STORE =
  /result\[data_index \* 4 \+ 0\] = (\w+)\.x;\nresult\[data_index \* 4 \+ 1\] = \1\.y;\nresult\[data_index \* 4 \+ 2\] = \1\.z;\nresult\[data_index \* 4 \+ 3\] = \1\.w;\n/g;

function replaceStores(text: GeneratedText, { result }: KernelSource): void {
  switch (result) {
    case 'element': {
      const stores = text.code.match(/result\[data_index\] = /g) ?? [];
      text.expect(stores.length > 0, 'a store to result[data_index]: the kernel returns one number');
      break;
    }
    case 'pair': {
      const stores = text.code.match(/result\[data_index \* 2 \+ [01]\] = /g) ?? [];
      text.expect(stores.length > 0, 'stores to result[data_index * 2 + i]: the kernel returns an array of 2');
      break;
    }
    case 'scatter':
    case 'columns': {
      const replaced = text.code.replaceAll(VECTOR_STORE, (_, name) => `put_result(${name});\n`);
      text.expect(replaced !== text.code, 'stores to result[data_index * 4 + i]: the kernel returns an array of 4');
      text.expect(!replaced.includes('result[data_index'), 'no stores but those of four components together');
      text.code = replaced;
      break;
    }
    default:
      result satisfies never;
  }
}

/** A name that is neither a parameter nor a variable of the function is one of the module around it, which gpu.js does not
 * see; it would be an error only on the device, and in other words. */
function expectOnlyDeclaredNames(text: GeneratedText, parameterNames: readonly string[]): void {
  const declared = new Set(parameterNames);
  for (const [, name] of text.code.matchAll(/\bvar user_(\w+) :/g)) declared.add(name!);
  for (const [, list] of text.code.matchAll(/\bfn fn_\w+\(([^)]*)\)/g)) {
    for (const [, name] of list!.matchAll(/\buser_(\w+) :/g)) declared.add(name!);
  }
  for (const [, name] of text.code.matchAll(/\buser_(\w+?)(?:_dims)?\b/g)) {
    text.expect(declared.has(name!), `no name '${name}': kernels see their parameters and variables only`);
  }
}
