/** rmsNorm and layerNorm: one workgroup per row. */
import type { Tensor } from '../../../tensor/tensor.ts';
import type { OpArgs } from '../../ops.ts';
import { FLAT_GROUP, flatGrid, type OpContext, packParams } from '../op-context.ts';
import { bindVector } from '../weight-views.ts';
import { REDUCE_CODE, ROW_THREADS } from './reduce.ts';

export function rmsNorm(context: OpContext, { x, weight, eps, out }: OpArgs['rmsNorm']): void {
  norm(context, 'rmsNorm', { x, weight, bias: undefined, eps, out });
}

export function layerNorm(context: OpContext, args: OpArgs['layerNorm']): void {
  norm(context, 'layerNorm', args);
}

type Norm = 'rmsNorm' | 'layerNorm';

function norm({ memory, recorder, library }: OpContext, op: Norm, args: OpArgs['layerNorm']): void {
  const { x, out, eps } = args;
  const isInPlace = x.buffer === out.buffer && x.byteOffset === out.byteOffset;
  const vectors = (['weight', 'bias'] as const).filter((name) => args[name] !== undefined);
  const kernel = library.get([op, ...vectors, ...(isInPlace ? ['in place'] : [])].join(' '), () => ({
    bindings: ['uniform', ...(isInPlace ? [] : ['read' as const]), ...vectors.map(() => 'read' as const), 'read_write'],
    code: codeOf(op, isInPlace, vectors),
  }));
  const [boundX, boundOut] = [memory.bind(x), memory.bind(out)];
  const bound = new Map(vectors.map((name) => [name, bindVector(memory, args[name] as Tensor)]));
  const startOf = (name: 'weight' | 'bias'): number => bound.get(name)?.wordOffset ?? 0;
  const [numRows, width] = x.shape as [number, number];
  recorder.dispatch(kernel, {
    params: packParams(
      [numRows, width, boundX.wordOffset, boundOut.wordOffset, startOf('weight'), startOf('bias')],
      [eps],
    ),
    storage: [...(isInPlace ? [] : [boundX]), ...bound.values(), boundOut],
    workgroups: width === 0 ? [0, 0, 0] : flatGrid(numRows),
  });
}

/** Sums that the row needs before its first result. */
const STATISTICS: Readonly<Record<Norm, string>> = {
  rmsNorm: /* wgsl */ `
  var sum = 0.0;
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) { sum = fma(x_at(row, i), x_at(row, i), sum); }
  let mean = 0.0;
  let variance = reduce_sum(sum, lane) / f32(p.width);`,
  layerNorm: /* wgsl */ `
  var sum = 0.0;
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) { sum += x_at(row, i); }
  let mean = reduce_sum(sum, lane) / f32(p.width);
  var squares = 0.0;
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) {
    let centered = x_at(row, i) - mean;
    squares = fma(centered, centered, squares);
  }
  let variance = reduce_sum(squares, lane) / f32(p.width);`,
};

function codeOf(op: Norm, isInPlace: boolean, vectors: readonly string[]): string {
  const inputs = [...(isInPlace ? [] : ['x']), ...vectors];
  const result = `(x_at(row, i) - mean) * factor${vectors.includes('weight') ? ' * weight[p.weight_start + i]' : ''}${
    vectors.includes('bias') ? ' + bias[p.bias_start + i]' : ''
  }`;
  return /* wgsl */ `
struct Params { rows: u32, width: u32, x_start: u32, out_start: u32, weight_start: u32, bias_start: u32, eps: f32 }
@group(0) @binding(0) var<uniform> p: Params;
${inputs.map((name, i) => `@group(0) @binding(${i + 1}) var<storage, read> ${name}: array<f32>;`).join('\n')}
@group(0) @binding(${inputs.length + 1}) var<storage, read_write> output: array<f32>;
${FLAT_GROUP}${REDUCE_CODE}
fn x_at(row: u32, i: u32) -> f32 { return ${isInPlace ? 'output' : 'x'}[p.x_start + row * p.width + i]; }

@compute @workgroup_size(${ROW_THREADS})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
        @builtin(local_invocation_index) lane: u32) {
  let row = flat_group(group, groups);
  if (row >= p.rows) { return; }
${STATISTICS[op]}
  let factor = 1.0 / sqrt(variance + p.eps);
  for (var i = lane; i < p.width; i += ${ROW_THREADS}u) {
    output[p.out_start + row * p.width + i] = ${result};
  }
}
`;
}
