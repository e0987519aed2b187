/** The Jinja package's interpreter, made to do as jinja2 does where templates can tell the difference, to keep marks on
 * what came from a message (see `content-marks.ts`), and to stop. All of it by looking at each node before the package
 * does: a node that is not handled here goes on to the package. Must not know messages or tokenizers. */
import { hasMarks, mark, restoreMarksInJson, textOutsideMarks, unmark } from '../content-marks.ts';
import type { ArgumentValues } from './argument-values.ts';
import { applyFilter, applyTest } from './filters.ts';
import { applyOperator } from './operators.ts';
import { type Environment, Interpreter, type SyntaxNode } from './package.ts';
import { pythonStr } from './python-values.ts';
import {
  arrayValue,
  booleanValue,
  isArray,
  isObject,
  isString,
  type RuntimeValue,
  type StringValue,
  stringValue,
} from './runtime-values.ts';
import type * as tree from './syntax-tree.ts';
import { known, unmarked } from './syntax-tree.ts';
import { callTextMethod } from './text-methods.ts';
import type { WorkBudget } from './work-budget.ts';

/** `{% break %}` or `{% continue %}` on its way to the loop, with what the turn has printed. */
class LoopSignal {
  readonly kind: string;
  text = '';

  constructor(kind: string) {
    this.kind = kind;
  }
}

/** Filters that are the package's, but not Python's. */
const METHODS_AS_FILTERS: ReadonlySet<string> = new Set(['capitalize', 'title']);

/** Statements that print nothing, though they give a value. */
const SILENT: ReadonlySet<string> = new Set(['Set', 'Macro', 'Comment']);

export class TemplateInterpreter extends Interpreter {
  readonly #budget: WorkBudget;
  /** The scopes of loops that a `break` has ended. */
  readonly #endedLoops = new WeakSet<Environment>();
  readonly #blurred = new Set<string>();

  constructor(environment: Environment, budget: WorkBudget) {
    super(environment);
    this.#budget = budget;
  }

  /** Text of the template that is marked as content: an operation on both at once had to take all for content. */
  get blurredText(): ReadonlySet<string> {
    return this.#blurred;
  }

  /** @throws LoopSignal, TemplateLimitError, TemplateRefusal, and whatever the package throws */
  override evaluate(node: SyntaxNode | undefined, environment: Environment): RuntimeValue {
    this.#budget.spend();
    const value = this.#dispatch(node, environment);
    this.#budget.spendOn(value);
    return value;
  }

  #dispatch(node: SyntaxNode | undefined, environment: Environment): RuntimeValue {
    switch (node?.type) {
      case 'Block':
        return this.#runBlock(node as tree.BlockNode, environment);
      case 'Known':
        return (node as tree.KnownNode).known;
      case 'Unmarked':
        return this.#evaluateUnmarked(node as tree.UnmarkedNode, environment);
      case 'Iterable':
        return this.#toIterable(this.evaluate((node as tree.IterableNode).expression, environment));
      case 'Break':
      case 'Continue':
        throw new LoopSignal(node.type);
      case 'Macro':
      case 'CallStatement':
        // The package walks through the whole body here.
        this.#budget.spendOnTree();
        return super.evaluate(node, environment);
      case 'BinaryExpression':
        return this.#evaluateBinary(node as tree.BinaryNode, environment);
      case 'MemberExpression':
        return this.#evaluateMember(node as tree.MemberNode, environment);
      case 'CallExpression':
        return this.#evaluateCall(node as tree.CallNode, environment);
      case 'TestExpression':
        return this.#evaluateTest(node as tree.TestNode, environment);
      case 'FilterExpression': {
        const { operand, filter } = node as tree.FilterNode;
        return this.#filter(this.evaluate(operand, environment), filter, environment);
      }
      case 'FilterStatement': {
        const { body, filter } = node as tree.FilterStatementNode;
        return this.#filter(this.evaluate(body[0] ?? known(stringValue('')), environment), filter, environment);
      }
      default:
        return super.evaluate(node, environment);
    }
  }

  /** Prints as Python does. Each turn of a loop begins without what the turn before has set, and `break` and `continue`
   * keep what was printed before them; the package does neither. */
  #runBlock({ statements, loopVariables }: tree.BlockNode, scope: Environment): StringValue {
    let text = '';
    if (loopVariables !== undefined) {
      if (this.#endedLoops.has(scope)) return stringValue('');
      for (const name of [...scope.variables.keys()]) if (!loopVariables.has(name)) scope.variables.delete(name);
    }
    try {
      for (const statement of statements) {
        const value = this.evaluate(statement, scope);
        if (!SILENT.has(statement.type)) text += pythonStr(value);
      }
      return stringValue(text);
    } catch (signal) {
      if (!(signal instanceof LoopSignal)) throw signal;
      signal.text = text + signal.text;
      if (loopVariables === undefined) throw signal;
      if (signal.kind === 'Break') this.#endedLoops.add(scope);
      return stringValue(signal.text);
    }
  }

  #evaluateUnmarked({ expression, onMarks }: tree.UnmarkedNode, environment: Environment): RuntimeValue {
    const value = this.evaluate(expression, environment);
    if (!isString(value) || !hasMarks(value.value)) return value;
    onMarks();
    return stringValue(unmark(value.value));
  }

  #evaluateBinary(node: tree.BinaryNode, environment: Environment): RuntimeValue {
    const operator = node.operator.value;
    if (operator === 'and' || operator === 'or') return super.evaluate(node, environment);
    const left = this.evaluate(node.left, environment);
    const right = this.evaluate(node.right, environment);
    return (
      applyOperator(operator, left, right) ??
      super.evaluate({ ...node, left: known(left), right: known(right) } as tree.BinaryNode, environment)
    );
  }

  #evaluateTest(node: tree.TestNode, environment: Environment): RuntimeValue {
    const operand = this.evaluate(node.operand, environment);
    const result = applyTest(node.test.value, operand);
    if (result !== undefined) return booleanValue(result !== node.negate);
    return super.evaluate({ ...node, operand: known(operand) } as tree.TestNode, environment);
  }

  #evaluateMember(node: tree.MemberNode, environment: Environment): RuntimeValue {
    const object = this.evaluate(node.object, environment);
    if (!node.computed) return super.evaluate({ ...node, object: known(object) } as tree.MemberNode, environment);
    const property = node.property.type === 'SliceExpression' ? node.property : unmarked(node.property, () => {});
    // Characters of a text are code points, as in Python. A list of them knows how to index and slice.
    const target = isString(object) ? characters(object) : object;
    const part = super.evaluate({ ...node, object: known(target), property } as tree.MemberNode, environment);
    if (!isString(object)) return part;
    return this.#keepMarks(object, isArray(part) ? stringValue(part.value.map(pythonStr).join('')) : part);
  }

  /** A method of a text or of anything else, or a function. */
  #evaluateCall(node: tree.CallNode, environment: Environment): RuntimeValue {
    const callee = node.callee as tree.MemberNode;
    if (callee.type !== 'MemberExpression' || callee.computed) return super.evaluate(node, environment);
    const object = this.evaluate(callee.object, environment);
    if (isString(object)) return this.#callOnText(object, node, environment);
    // The key of `mapping.get(key, default)` is looked up; the default is a value like any other.
    const args = node.args.map((arg, i) => (i === 0 && isObject(object) ? this.#unmarkedArgument(arg, () => {}) : arg));
    const knownCallee = { ...callee, object: known(object) };
    return super.evaluate({ ...node, callee: knownCallee, args } as tree.CallNode, environment);
  }

  #callOnText(object: StringValue, node: tree.CallNode, environment: Environment): RuntimeValue {
    const callee = node.callee as tree.MemberNode;
    const method = (callee.property as tree.IdentifierNode).value;
    const own = callTextMethod(method, object.value, () => this.#argumentValues(node.args, environment));
    if (own !== undefined) return own.isMarked ? own.value : this.#keepMarks(object, own.value);
    let argumentMarks = false;
    const noteMarks = (): void => {
      argumentMarks = true;
    };
    const args = node.args.map((arg) => this.#unmarkedArgument(arg, noteMarks));
    const knownCallee = { ...callee, object: known(stringValue(unmark(object.value))) };
    const result = super.evaluate({ ...node, callee: knownCallee, args } as tree.CallNode, environment);
    return this.#keepMarks(object, result, argumentMarks);
  }

  #filter(operand: RuntimeValue, filter: tree.IdentifierNode | tree.CallNode, environment: Environment): RuntimeValue {
    const args = filter.type === 'CallExpression' ? (filter as tree.CallNode).args : [];
    const name = ((filter as tree.CallNode).callee ?? filter) as tree.IdentifierNode;
    const own = applyFilter(name.value, operand, () => this.#argumentValues(args, environment));
    if (own !== undefined) return own;
    const delegate = (value: RuntimeValue, values: readonly SyntaxNode[]): RuntimeValue => {
      const node = filter.type === 'CallExpression' ? { ...filter, args: values } : filter;
      return super.evaluate(
        { type: 'FilterExpression', operand: known(value), filter: node } as tree.FilterNode,
        environment,
      );
    };
    if (name.value === 'tojson') return stringValue(restoreMarksInJson(delegate(operand, args).value as string));
    if (!isString(operand)) return delegate(operand, args);
    if (METHODS_AS_FILTERS.has(name.value))
      return this.#keepMarks(operand, callTextMethod(name.value, operand.value)!.value);
    let argumentMarks = false;
    const plainArgs = args.map((arg) =>
      this.#unmarkedArgument(arg, () => {
        argumentMarks = true;
      }),
    );
    return this.#keepMarks(operand, delegate(stringValue(unmark(operand.value)), plainArgs), argumentMarks);
  }

  /** Texts made from a text that holds content are content. Where it held more than that, too. */
  #keepMarks(source: StringValue, result: RuntimeValue, hasMarkedArguments = false): RuntimeValue {
    const isMarked = hasMarks(source.value);
    if (!isMarked && !hasMarkedArguments) return result;
    if (!isString(result) && !isArray(result)) return result;
    const outside = textOutsideMarks(source.value);
    if (outside !== '') this.#blurred.add(outside);
    const markItem = (item: RuntimeValue): RuntimeValue =>
      isString(item)
        ? stringValue(mark(unmark(item.value)))
        : isArray(item)
          ? arrayValue(item.value.map(markItem))
          : item;
    return markItem(result);
  }

  #unmarkedArgument(node: SyntaxNode, onMarks: () => void): SyntaxNode {
    if (node.type === 'SpreadExpression' || node.type === 'KeywordSpreadExpression') return node;
    if (node.type !== 'KeywordArgumentExpression') return unmarked(node, onMarks);
    const keyword = node as tree.KeywordArgumentNode;
    return { ...keyword, value: unmarked(keyword.value, onMarks) } as tree.KeywordArgumentNode;
  }

  #argumentValues(args: readonly SyntaxNode[], environment: Environment): ArgumentValues {
    const positional: RuntimeValue[] = [];
    const named = new Map<string, RuntimeValue>();
    for (const arg of args) {
      if (arg.type === 'SpreadExpression' || arg.type === 'KeywordSpreadExpression')
        throw new Error('* in the arguments');
      if (arg.type === 'KeywordArgumentExpression') {
        const { key, value } = arg as tree.KeywordArgumentNode;
        named.set(key.value, this.evaluate(value, environment));
      } else {
        positional.push(this.evaluate(arg, environment));
      }
    }
    return { positional, named };
  }

  /** What a loop goes over: a text is its characters, Undefined is nothing. */
  #toIterable(value: RuntimeValue): RuntimeValue {
    if (value.type === 'UndefinedValue') return arrayValue([]);
    const iterable = isString(value) ? this.#keepMarks(value, characters(value)) : value;
    this.#budget.spendOnLoop(iterable);
    return iterable;
  }
}

function characters(text: StringValue): RuntimeValue {
  return arrayValue([...unmark(text.value)].map(stringValue));
}
