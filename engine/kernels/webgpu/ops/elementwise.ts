/** Ops on two tensors, element by element: add, siluMul, geluMul. One thread per element. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { OpArgs } from '../../ops.ts';
import { FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { FORMULAS } from './formulas.ts';
import { TANH_CODE } from './tanh.ts';

const THREADS = 256;

export function add(context: OpContext, { a, b, out }: OpArgs['add']): void {
  elementwise(context, 'add', [a, b, out]);
}

export function siluMul(context: OpContext, { gate, up, out }: OpArgs['siluMul']): void {
  elementwise(context, 'siluMul', [gate, up, out]);
}

export function geluMul(context: OpContext, { gate, up, out }: OpArgs['geluMul']): void {
  elementwise(context, 'geluMul', [gate, up, out]);
}

function elementwise(
  { memory, recorder, library }: OpContext,
  op: keyof typeof FORMULAS,
  [a, b, out]: readonly [Tensor, Tensor, Tensor],
): void {
  // An input that is the output is read through the output's binding.
  const isOut = (x: Tensor): boolean => x.buffer === out.buffer && x.byteOffset === out.byteOffset;
  const inputs = [...(isOut(a) ? [] : ['a']), ...(isOut(b) ? [] : ['b'])];
  const kernel = library.get(`${op} of ${inputs.join(' and ') || 'itself'}`, () => ({
    bindings: ['uniform', ...inputs.map(() => 'read' as const), 'read_write'],
    code: codeOf(op, inputs),
  }));
  const [boundA, boundB, boundOut] = [memory.bind(a), memory.bind(b), memory.bind(out)];
  recorder.dispatch(kernel, {
    params: packParams([out.numElements, boundA.wordOffset, boundB.wordOffset, boundOut.wordOffset]),
    storage: [...(isOut(a) ? [] : [boundA]), ...(isOut(b) ? [] : [boundB]), boundOut],
    workgroups: flatGrid(Math.ceil(out.numElements / THREADS)),
  });
}

function codeOf(op: keyof typeof FORMULAS, inputs: readonly string[]): string {
  const nameOf = (input: string): string => (inputs.includes(input) ? `input_${input}` : 'output');
  return /* wgsl */ `
struct Params { count: u32, a_start: u32, b_start: u32, out_start: u32 }
@group(0) @binding(0) var<uniform> p: Params;
${inputs.map((name, i) => `@group(0) @binding(${i + 1}) var<storage, read> input_${name}: array<f32>;`).join('\n')}
@group(0) @binding(${inputs.length + 1}) var<storage, read_write> output: array<f32>;
${FLAT_GROUP}${op === 'geluMul' ? TANH_CODE : ''}
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let i = flat_group(group, groups) * ${THREADS}u + lane;
  if (i >= p.count) { return; }
  let a = ${nameOf('a')}[p.a_start + i];
  let b = ${nameOf('b')}[p.b_start + i];
  output[p.out_start + i] = ${FORMULAS[op]};
}
`;
}
