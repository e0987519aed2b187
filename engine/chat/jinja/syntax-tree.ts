/** The syntax tree as this folder reads it (the package exports its parser, not its node types), and the nodes that
 * Quern adds so that its own interpreter sees what the package's would hide:
 *
 *   Block     wherever a list of statements was, one node that runs them
 *   Iterable  what a loop goes over
 *   Known     a value computed already, in place of the expression that gave it
 *   Unmarked  an expression whose marks are taken off
 * Must not know what any of them means. */
import type { Program, RuntimeValue, SyntaxNode } from './package.ts';

export interface BlockNode extends SyntaxNode {
  readonly statements: readonly SyntaxNode[];
  /** Present for the body of a loop: the names that each turn begins with. */
  readonly loopVariables?: ReadonlySet<string>;
}
export interface IterableNode extends SyntaxNode {
  readonly expression: SyntaxNode;
}
export interface KnownNode extends SyntaxNode {
  readonly known: RuntimeValue;
}
export interface UnmarkedNode extends SyntaxNode {
  readonly expression: SyntaxNode;
  /** Told when there were marks. */
  readonly onMarks: () => void;
}
export interface IdentifierNode extends SyntaxNode {
  readonly value: string;
}
export interface BinaryNode extends SyntaxNode {
  readonly operator: { readonly value: string };
  readonly left: SyntaxNode;
  readonly right: SyntaxNode;
}
export interface MemberNode extends SyntaxNode {
  readonly object: SyntaxNode;
  readonly property: SyntaxNode;
  /** `object[property]` rather than `object.property`. */
  readonly computed: boolean;
}
export interface CallNode extends SyntaxNode {
  readonly callee: SyntaxNode;
  readonly args: readonly SyntaxNode[];
}
export interface KeywordArgumentNode extends SyntaxNode {
  readonly key: IdentifierNode;
  readonly value: SyntaxNode;
}
export interface FilterNode extends SyntaxNode {
  readonly operand: SyntaxNode;
  readonly filter: IdentifierNode | CallNode;
}
export interface FilterStatementNode extends SyntaxNode {
  readonly filter: IdentifierNode | CallNode;
  readonly body: readonly SyntaxNode[];
}
export interface TestNode extends SyntaxNode {
  readonly operand: SyntaxNode;
  readonly negate: boolean;
  readonly test: IdentifierNode;
}
interface ForNode extends SyntaxNode {
  readonly loopvar: IdentifierNode | (SyntaxNode & { readonly value: readonly IdentifierNode[] });
  iterable: SyntaxNode & { lhs?: SyntaxNode };
}

export function known(value: RuntimeValue): KnownNode {
  return { type: 'Known', known: value };
}

export function unmarked(expression: SyntaxNode, onMarks: () => void): UnmarkedNode {
  return { type: 'Unmarked', expression, onMarks };
}

/** Statements are nested in these fields and nowhere else. */
const STATEMENT_LISTS = ['body', 'alternate', 'defaultBlock'] as const;

/** Puts a Block in place of every list of statements and an Iterable in front of every loop. Changes the tree.
 * @returns the program's own Block */
export function addBlocks(program: Program): BlockNode {
  // The package tells statements from other objects by their class when it looks for a macro's `kwargs`.
  const statementClass = Object.getPrototypeOf(program) as object;
  const makeNode = <T extends SyntaxNode>(fields: T): T => Object.assign(Object.create(statementClass) as T, fields);
  const makeBlock = (statements: readonly SyntaxNode[], loopVariables?: ReadonlySet<string>): BlockNode => {
    for (const statement of statements) prepare(statement);
    return makeNode({ type: 'Block', statements, ...(loopVariables === undefined ? {} : { loopVariables }) });
  };
  const prepare = (node: SyntaxNode): void => {
    const lists = node as SyntaxNode & { [list in (typeof STATEMENT_LISTS)[number]]?: readonly SyntaxNode[] };
    for (const name of STATEMENT_LISTS) {
      const statements = lists[name];
      if (!Array.isArray(statements) || statements.length === 0) continue;
      const isLoopBody = node.type === 'For' && name === 'body';
      lists[name] = [makeBlock(statements, isLoopBody ? loopVariables(node as ForNode) : undefined)];
    }
    if (node.type === 'For') wrapIterable(node as ForNode, makeNode);
  };
  return makeBlock(program.body);
}

function loopVariables({ loopvar }: ForNode): ReadonlySet<string> {
  const names = typeof loopvar.value === 'string' ? [loopvar.value] : loopvar.value.map(({ value }) => value);
  return new Set(['loop', 'namespace', ...names]);
}

/** `for x in expression if condition`: the condition is not part of it. */
function wrapIterable(node: ForNode, makeNode: <T extends SyntaxNode>(fields: T) => T): void {
  const wrap = (expression: SyntaxNode): IterableNode => makeNode({ type: 'Iterable', expression });
  if (node.iterable.type === 'SelectExpression') node.iterable.lhs = wrap(node.iterable.lhs!);
  else node.iterable = wrap(node.iterable);
}
