/** The matmul kernel for few tokens: teams of 32 lanes, each of which takes every 32nd group of a sum. */
import { ADD_EIGHT_CODE, ADD_EIGHTS_CODE, LANES, type ShuffleSpan } from '../lane-sums.ts';
import { type MatmulWeight, matmulCommonCode, times } from './matmul-code.ts';

/** Teams of `LANES` threads in a workgroup. */
export const TEAMS = 4;

/** Rows of the weight and tokens that a team computes at a time: what a thread loads of a token serves all rows, and what it
 * unpacks of a row serves all tokens. A single token waits for memory, so it is spread over more teams, as long as the
 * matrix does not give each of them plenty to do anyway. */
export interface TeamTile {
  readonly rows: number;
  readonly tokens: number;
}

const MANY_ROWS = 16_384;

export function teamTile(numRows: number, numTokens: number): TeamTile {
  if (numTokens > 1) return { rows: 4, tokens: 4 };
  return { rows: numRows < MANY_ROWS ? 2 : 4, tokens: 1 };
}

export interface TeamVariant extends MatmulWeight {
  readonly tile: TeamTile;
  readonly shuffleSpan: ShuffleSpan;
}

export function matmulTeamCode(variant: TeamVariant): string {
  const { rows, tokens } = variant.tile;
  const span = spanFor(variant);
  const step = variant.activations === 'int8' ? INT8_STEP : F32_STEP;
  return /* wgsl */ `${span > 0 ? 'enable subgroups;\n' : ''}${matmulCommonCode(variant)}${lanesCode(rows * tokens, span)}
@compute @workgroup_size(${LANES}, ${TEAMS})
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>${
    span > 0 ? ', @builtin(subgroup_invocation_id) own_place: u32' : ''
  }) {
  let lane = thread.x;
  let team = thread.y;
  let first_row = (tile.x * ${TEAMS}u + team) * ${rows}u;
  let first_token = tile.y * ${tokens}u;
  // Rows and tokens past the end repeat the last one; their results are dropped.
${times(rows, (r) => `  let row_${r} = p.row_in_buffer + min(first_row + ${r}u, p.rows - 1u);`)}
${times(tokens, (t) => `  let token_${t} = min(first_token + ${t}u, p.tokens - 1u);`)}
${times(rows, (r) => times(tokens, (t) => `  var sum_${r}_${t} = ${step.zero};`))}
  for (var group = lane; group < p.groups_per_row; group += ${LANES}u) {
${times(rows, (r) => `    let group_${r} = load_group(row_${r}, group);`)}
${step.code(variant.tile)}
  }
${span > 0 ? '  place = own_place;' : ''}
${addLanes(variant.tile, span, step.total)}
}
`;
}

/** A lane asks each of eight others for each of its sums; through workgroup memory, lanes share the sums among them. So
 * exchanging pays for one token only. */
function spanFor({ tile, shuffleSpan }: TeamVariant): ShuffleSpan {
  return tile.tokens === 1 ? shuffleSpan : 0;
}

/** How a lane multiplies a group of each row with those of each token. */
interface GroupStep {
  /** What a sum begins with. */
  readonly zero: string;
  code(tile: TeamTile): string;
  /** What a sum comes to, at the end. */
  total(sum: string): string;
}

const F32_STEP: GroupStep = {
  zero: 'vec4<f32>(0.0)',
  code: ({ rows, tokens }) => `    for (var j = 0u; j < 8u; j++) {
${times(rows, (r) => `      let w_${r} = group_vec4(group_${r}, j);`)}
${times(tokens, (t) => fourProducts(t, rows))}
    }`,
  total: (sum) => `horizontal(${sum})`,
};

/** Of one token with each row's weights. */
function fourProducts(t: number, rows: number): string {
  const steps = times(rows, (r) => `      sum_${r}_${t} = fma(w_${r}, v_${t}, sum_${r}_${t});`);
  return `      let v_${t} = x_at(token_${t}, group, j);\n${steps}`;
}

const INT8_STEP: GroupStep = {
  zero: '0.0',
  code: ({ rows, tokens }) =>
    times(tokens, (t) => {
      const steps = times(
        rows,
        (r) => `    sum_${r}_${t} = fma(x_${t}.scale, group_dot(group_${r}, x_${t}), sum_${r}_${t});`,
      );
      return `    let x_${t} = levels_at(token_${t}, group);\n${steps}`;
    }),
  total: (sum) => sum,
};

/** Sums of a team in workgroup memory. Lane 8b + i of an output lies at 4i + b, and outputs at multiples of 36, so that
 * lanes that add up eights of several outputs read from different banks. */
const SUM_STRIDE = 36;

function lanesCode(items: number, span: ShuffleSpan): string {
  const eights = `var<workgroup> eights: array<array<vec4<f32>, ${items}>, ${TEAMS}>;`;
  if (span === 32) return ADD_EIGHT_CODE + ADD_EIGHTS_CODE;
  if (span === 8) return ADD_EIGHT_CODE + eights;
  return /* wgsl */ `
var<workgroup> sums: array<array<f32, ${items * SUM_STRIDE}>, ${TEAMS}>;
${eights}
`;
}

/** From each lane's sums to stored results. */
function addLanes({ rows, tokens }: TeamTile, span: ShuffleSpan, total: GroupStep['total']): string {
  const items = rows * tokens;
  const each = (line: (item: number, sum: string) => string): string =>
    times(items, (item) => line(item, total(`sum_${Math.floor(item / tokens)}_${item % tokens}`)));
  if (span === 32) {
    return each(
      (item, sum) => `  let total_${item} = add_eights(add_eight(${sum}));
  if (lane == 0u) { store(first_row + ${Math.floor(item / tokens)}u, first_token + ${item % tokens}u, total_${item}); }`,
    );
  }
  const ends = /* wgsl */ `
  workgroupBarrier();
  if (lane < ${items}u) {
    let all = eights[team][lane];
    store(first_row + lane / ${tokens}u, first_token + lane % ${tokens}u, ((all.x + all.y) + all.z) + all.w);
  }`;
  if (span === 8) {
    return `${each(
      (item, sum) => `  let eight_${item} = add_eight(${sum});
  if ((lane & 7u) == 0u) { eights[team][${item}][lane / 8u] = eight_${item}; }`,
    )}${ends}`;
  }
  return `${each((item, sum) => `  sums[team][${item * SUM_STRIDE}u + (lane & 7u) * 4u + lane / 8u] = ${sum};`)}
  workgroupBarrier();
  for (var job = lane; job < ${items * 4}u; job += ${LANES}u) {
    let start = (job >> 2u) * ${SUM_STRIDE}u + (job & 3u);
    var eight = 0.0;
    for (var i = 0u; i < 8u; i++) { eight += sums[team][start + 4u * i]; }
    eights[team][job >> 2u][job & 3u] = eight;
  }${ends}`;
}
