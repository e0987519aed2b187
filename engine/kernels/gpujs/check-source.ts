/** Refuses kernels that gpu.js would compile into something else than JavaScript runs, without a word. What it refuses by
 * itself is not repeated here. Works on the function's text, as gpu.js does. */
import { InvalidArgumentError } from '../../errors.ts';
import { isScalar, type KernelHelper, type KernelSource } from './kernel-source.ts';
import { MAX_EXACT_INTEGER } from './limits.ts';

type Refuse = (problem: string) => never;

/** Functions that are the same in JavaScript and WGSL but for the last bits; `tanh` may overflow on a GPU, and others
 * are not there, which only the device would say. */
const MATH = ['abs', 'ceil', 'exp', 'floor', 'log', 'max', 'min', 'sqrt'];

/** What must not be in a kernel's text, and why. */
const REFUSED: readonly (readonly [pattern: RegExp, problem: string])[] = [
  [/%/, 'must not use %: a GPU divides f32 approximately; take a - b * Math.floor((a + 0.5) / b) for whole numbers'],
  [/\b(while|do)\b/, 'must loop with for: gpu.js may end a while loop early'],
  [/\bcontinue\b/, 'must not use continue: gpu.js then skips the step of the loop, which never ends'],
  [/\bswitch\b/, 'must not use switch: write if'],
  [/\b(Infinity|NaN)\b/, 'must not use Infinity or NaN: WGSL has neither, and gpu.js takes the largest f32 instead'],
  [/\?/, 'must not choose with a ? b : c: both are computed, and what is read may not be there; write if'],
];

/** Checks the text of a kernel and of its helpers.
 * @throws InvalidArgumentError that says what to write instead */
export function checkSource({ kernel, parameters, helpers = [] }: KernelSource): void {
  checkFunction(kernel, parameters);
  for (const helper of helpers) checkFunction(helper, {});
}

function checkFunction(checked: KernelSource['kernel'] | KernelHelper, parameters: KernelSource['parameters']): void {
  const refuse = (problem: string): never => {
    throw new InvalidArgumentError(`kernel ${checked.name || '(anonymous)'}`, problem);
  };
  if (checked.name === '') refuse('must be a named function: the name is the label of the compiled kernel');
  const code = checked.toString().replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');

  for (const [pattern, problem] of REFUSED) if (pattern.test(code)) refuse(problem);
  checkLoops(code, parameters, refuse);
  checkNames(code, Object.keys(parameters), refuse);
  for (const [, name] of code.matchAll(/\bMath\.(\w+)/g)) {
    if (!MATH.includes(name!)) refuse(`uses Math.${name}; of Math there are ${MATH.join(', ')}`);
  }
  for (const [literal] of code.matchAll(/(?<![\w.])\d+(?![\w.])/g)) {
    if (Number(literal) <= MAX_EXACT_INTEGER) continue;
    refuse(`uses the integer ${literal}, but only those up to ${MAX_EXACT_INTEGER} are exact in an f32`);
  }
}

/** Every loop counts up from a literal to a name or a literal. gpu.js compiles others too, but starts those that begin at
 * a variable wrongly, and stops them all after as many rounds as it was told. What is counted with ++ becomes an i32: that
 * is a loop's variable only, and nothing else is assigned to it, as it would lose its fraction. */
function checkLoops(code: string, parameters: KernelSource['parameters'], refuse: Refuse): void {
  const loop = /^for\s*\(\s*let\s+(\w+)\s*=\s*\d+\s*;\s*\1\s*<\s*(\w+)\s*;\s*\1\+\+\s*\)/;
  const counters: string[] = [];
  for (const { index } of code.matchAll(/\bfor\b/g)) {
    const match = loop.exec(code.slice(index));
    if (match === null) {
      refuse(`must write its loops as for (let i = 0; i < end; i++), got ${code.slice(index, index + 40)}`);
    }
    const [, counter, bound] = match as unknown as [string, string, string];
    counters.push(counter);
    const kind = parameters[bound];
    if (kind !== undefined && !(isScalar(kind) && kind === 'integer')) {
      refuse(`bounds a loop by ${bound}, which is a parameter of ${kind}; it must be an 'integer'`);
    }
  }
  if ((code.match(/\+\+|--/g) ?? []).length > counters.length) {
    refuse('must not use ++ or -- but to step a loop: gpu.js makes whole numbers of such variables');
  }
  for (const counter of counters) {
    if (new RegExp(`(?<!let\\s+)\\b${counter}\\s*([-+*/&|^]|<<|>>)?=(?!=)`).test(code)) {
      refuse(`assigns to ${counter}, which counts a loop: gpu.js makes a whole number of it`);
    }
  }
}

/** Variables of all blocks become variables of one function in WGSL. */
function checkNames(code: string, parameterNames: readonly string[], refuse: Refuse): void {
  const names = new Set(parameterNames);
  for (const [, name] of code.matchAll(/\b(?:let|const|var)\s+(\w+)/g)) {
    if (names.has(name!)) refuse(`declares '${name}' twice; sibling blocks and loops need names of their own`);
    names.add(name!);
  }
}
