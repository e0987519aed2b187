/** The Jinja package as this folder uses it, and the only file that imports it. Its own type declarations import each
 * other without file extensions, which TypeScript does not resolve in an ES module, so what is relied on is declared here. */
import * as jinja from '@huggingface/jinja';

export interface RuntimeValue {
  /** 'StringValue', 'IntegerValue', 'FloatValue', 'BooleanValue', 'NullValue', 'UndefinedValue', 'ArrayValue',
   * 'TupleValue', 'ObjectValue', 'FunctionValue' ... */
  readonly type: string;
  readonly value: unknown;
  __bool__(): { readonly value: boolean };
  toString(): string;
}

/** Of a syntax tree: an expression or a statement. */
export interface SyntaxNode {
  readonly type: string;
}

export interface Program extends SyntaxNode {
  readonly body: readonly SyntaxNode[];
}

/** A scope and what is declared in it. */
export interface Environment {
  readonly variables: Map<string, RuntimeValue>;
  /** Converts a JSON value, or a function of JSON values, and declares it. */
  set(name: string, value: unknown): RuntimeValue;
  setVariable(name: string, value: RuntimeValue): RuntimeValue;
}

export interface Interpreter {
  /** The interpreter calls this for every node, so whoever overrides it sees them all. */
  evaluate(node: SyntaxNode | undefined, environment: Environment): RuntimeValue;
}

interface JinjaPackage {
  readonly Environment: new (parent?: Environment) => Environment;
  readonly Interpreter: new (environment: Environment) => Interpreter;
  readonly tokenize: (
    source: string,
    options: { readonly lstrip_blocks: boolean; readonly trim_blocks: boolean },
  ) => readonly unknown[];
  readonly parse: (tokens: readonly unknown[]) => Program;
}

export const { Environment, Interpreter, tokenize, parse } = jinja as unknown as JinjaPackage;
