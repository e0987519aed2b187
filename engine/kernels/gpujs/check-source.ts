/** Refuses kernels that gpu.js would compile into something else than JavaScript runs, without a word. What it refuses by
 * itself is not repeated here. Works on the function's text, as gpu.js does. */
import { InvalidArgumentError } from '../../errors.ts';
import { isScalar, type KernelSource } from './kernel-source.ts';
import { MAX_EXACT_INTEGER } from './limits.ts';

/** Checks a kernel's text.
 * @throws InvalidArgumentError that says what to write instead */
export function checkSource({ kernel, parameters }: KernelSource): void {
  const refuse = (problem: string): never => {
    throw new InvalidArgumentError(`kernel ${kernel.name || '(anonymous)'}`, problem);
  };
  if (kernel.name === '') refuse('must be a named function: the name is the label of the compiled kernel');
  const code = kernel.toString().replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');

  checkLoops(code, parameters, refuse);
  checkNames(code, Object.keys(parameters), refuse);

  if (code.includes('%')) {
    refuse('must not use %: a GPU divides f32 approximately; take a - b * Math.floor((a + 0.5) / b) for whole numbers');
  }
  for (const [literal] of code.matchAll(/(?<![\w.])\d+(?![\w.])/g)) {
    if (Number(literal) <= MAX_EXACT_INTEGER) continue;
    refuse(`uses the integer ${literal}, but only those up to ${MAX_EXACT_INTEGER} are exact in an f32`);
  }
}

/** Every loop counts up from a literal to a name or a literal. gpu.js compiles others too, but starts those that begin at
 * a variable wrongly, and stops them all after as many rounds as it was told. */
function checkLoops(code: string, parameters: KernelSource['parameters'], refuse: (problem: string) => never): void {
  if (/\b(while|do)\b/.test(code)) refuse('must loop with for: gpu.js may end a while loop early');
  const loop = /^for\s*\(\s*let\s+(\w+)\s*=\s*\d+\s*;\s*\1\s*<\s*(\w+)\s*;\s*\1\+\+\s*\)/;
  for (const { index } of code.matchAll(/\bfor\b/g)) {
    const match = loop.exec(code.slice(index));
    if (match === null) {
      refuse(`must write its loops as for (let i = 0; i < end; i++), got ${code.slice(index, index + 40)}`);
    }
    const kind = parameters[match[2]!];
    if (kind !== undefined && !(isScalar(kind) && kind === 'integer')) {
      refuse(`bounds a loop by ${match[2]}, which is a parameter of ${kind}; it must be an 'integer'`);
    }
  }
}

/** Variables of all blocks become variables of one function in WGSL. */
function checkNames(code: string, parameterNames: readonly string[], refuse: (problem: string) => never): void {
  const names = new Set(parameterNames);
  for (const [, name] of code.matchAll(/\b(?:let|const|var)\s+(\w+)/g)) {
    if (names.has(name!)) refuse(`declares '${name}' twice; sibling blocks and loops need names of their own`);
    names.add(name!);
  }
}
