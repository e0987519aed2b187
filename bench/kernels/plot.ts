/** Draws the roofline of the last saved run: what each matmul kernel reached, against what the machine can do at most.
 *
 *   node bench/kernels/main.ts --save && node bench/kernels/plot.ts      writes docs/images/roofline.svg
 *
 * Source  Williams, Waterman & Patterson 2009, "Roofline: An Insightful Visual Performance Model" */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Limits {
  readonly bandwidth: number;
  readonly peaks: Readonly<Record<'f32' | 'dotI16' | 'dotI8', number>>;
}
interface Point {
  readonly name: string;
  readonly bytes: number;
  readonly operations: number;
  readonly gops: number;
}

const RESULTS = fileURLToPath(new URL('../results/kernels.jsonl', import.meta.url));
const OUTPUT = fileURLToPath(new URL('../../docs/images/roofline.svg', import.meta.url));
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [860, 520, 64, 150, 44, 52];
/** Operations per byte of weights, and GOPS. */
const [X_RANGE, Y_RANGE] = [
  [0.25, 4096],
  [4, 1024],
] as const;
const COLORS: Readonly<Record<string, string>> = {
  q4_0: '#0b6e99',
  q8_0: '#b8442c',
  q4_k: '#2f7d32',
  q5_k: '#7a5b9a',
  q6_k: '#a07400',
  f32: '#555555',
  f16: '#c2185b',
  bf16: '#00897b',
};

const place = (value: number, [low, high]: readonly [number, number], start: number, length: number): number =>
  start + (Math.log2(value / low) / Math.log2(high / low)) * length;
const x = (intensity: number): string => place(intensity, X_RANGE, LEFT, WIDTH - LEFT - RIGHT).toFixed(1);
const y = (gops: number): string => place(gops, Y_RANGE, HEIGHT - BOTTOM, TOP + BOTTOM - HEIGHT).toFixed(1);
const text = (atX: string | number, atY: string | number, content: string, more = ''): string =>
  `<text x="${atX}" y="${atY}" ${more}>${content}</text>`;

/** The last run in the file: what follows its limits. */
function lastRun(): { readonly limits: Limits; readonly points: readonly Point[]; readonly title: string } {
  const records = readFileSync(RESULTS, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const start = records.findLastIndex(({ name }) => name === 'limits');
  if (start === -1) throw new Error(`${RESULTS} has no run with limits`);
  const points = records.slice(start + 1).filter(({ name }) => name.startsWith('matmul '));
  const { cpu, node, date, commit, revectorized } = records[start];
  const title = `One thread of ${cpu}, Node ${node}${revectorized ? '' : ', not revectorized'}, ${date}, ${commit}`;
  return { limits: records[start], points, title };
}

function axes(): string[] {
  const lines: string[] = [];
  for (let value = X_RANGE[0]; value <= X_RANGE[1]; value *= 4) {
    lines.push(`<path class="grid" d="M${x(value)} ${TOP}V${HEIGHT - BOTTOM}"/>`);
    lines.push(text(x(value), HEIGHT - BOTTOM + 18, `${value}`, 'text-anchor="middle"'));
  }
  for (let value = Y_RANGE[0]; value <= Y_RANGE[1]; value *= 2) {
    lines.push(`<path class="grid" d="M${LEFT} ${y(value)}H${WIDTH - RIGHT}"/>`);
    lines.push(text(LEFT - 8, Number(y(value)) + 4, `${value}`, 'text-anchor="end"'));
  }
  const middle = (LEFT + WIDTH - RIGHT) / 2;
  lines.push(text(middle, HEIGHT - 10, 'operations per byte of weights', 'text-anchor="middle"'));
  lines.push(text(14, TOP - 12, 'GOPS (10^9 operations a second, 2 per multiply-add)'));
  return lines;
}

function roof({ bandwidth, peaks }: Limits): string[] {
  const names = { f32: 'f32 multiply-add', dotI16: '16-bit dot', dotI8: '8-bit dot' } as const;
  const top = Math.max(...Object.values(peaks));
  const slope = `<path class="roof" d="M${x(X_RANGE[0])} ${y(X_RANGE[0] * bandwidth)}L${x(top / bandwidth)} ${y(top)}"/>`;
  const label = text(x(1.5), y(0.9 * bandwidth), `read: ${bandwidth.toFixed(1)} GB/s`);
  return [
    slope,
    label,
    ...Object.entries(peaks).flatMap(([name, peak]) => [
      `<path class="roof" d="M${x(peak / bandwidth)} ${y(peak)}H${WIDTH - RIGHT}"/>`,
      text(WIDTH - RIGHT + 6, Number(y(peak)) + 4, `${names[name as keyof typeof names]}: ${peak.toFixed(0)}`),
    ]),
  ];
}

function marks(points: readonly Point[]): string[] {
  return points.map(({ name, bytes, operations, gops }) => {
    const dtype = name.split(' ')[1]!;
    const at = `cx="${x(operations / bytes)}" cy="${y(gops)}"`;
    // K-quants as rings: some lie on others.
    const paint = dtype.endsWith('_k')
      ? `fill="none" stroke="${COLORS[dtype]}" stroke-width="2"`
      : `fill="${COLORS[dtype]}"`;
    return `<circle ${at} r="${dtype.endsWith('_k') ? 6 : 4}" ${paint}><title>${name}: ${gops.toFixed(0)} GOPS</title></circle>`;
  });
}

function legend(points: readonly Point[]): string[] {
  const dtypes = Object.keys(COLORS).filter((dtype) => points.some(({ name }) => name.split(' ')[1] === dtype));
  return dtypes.flatMap((dtype, i) => {
    const atY = HEIGHT - BOTTOM - 18 * (dtypes.length - i);
    return [
      `<circle cx="${WIDTH - RIGHT + 14}" cy="${atY}" r="5" fill="${COLORS[dtype]}"/>`,
      text(WIDTH - RIGHT + 26, atY + 4, dtype.toUpperCase()),
    ];
  });
}

const { limits, points, title } = lastRun();
const style =
  'text{font:13px system-ui,sans-serif;fill:#222}.grid{stroke:#e4e4e4}.roof{stroke:#222;stroke-width:1.5;fill:none}';
mkdirSync(fileURLToPath(new URL('../../docs/images/', import.meta.url)), { recursive: true });
writeFileSync(
  OUTPUT,
  [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">`,
    '<title>Roofline of the matmul kernels</title>',
    `<style>${style}</style><rect width="100%" height="100%" fill="#fff"/>`,
    text(14, 18, title),
    ...axes(),
    ...roof(limits),
    ...marks(points),
    ...legend(points),
    '</svg>\n',
  ].join('\n'),
);
process.stderr.write(`wrote ${OUTPUT}\n`);
