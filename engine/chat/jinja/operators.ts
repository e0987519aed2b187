/** Operators where JavaScript and Python disagree. */
import { pythonCompare, pythonContains, pythonEquals, pythonStr } from './python-values.ts';
import { booleanValue, integerValue, type RuntimeValue, stringValue } from './runtime-values.ts';

/** Undefined for an operator or operands that are left to the package. */
export function applyOperator(operator: string, left: RuntimeValue, right: RuntimeValue): RuntimeValue | undefined {
  switch (operator) {
    case '==':
      return booleanValue(pythonEquals(left, right));
    case '!=':
      return booleanValue(!pythonEquals(left, right));
    case 'in':
    case 'not in': {
      const contains = pythonContains(left, right);
      return contains === undefined ? undefined : booleanValue(contains === (operator === 'in'));
    }
    case '~':
      return stringValue(pythonStr(left) + pythonStr(right));
    case '<':
      return compared(left, right, (order) => order < 0);
    case '<=':
      return compared(left, right, (order) => order <= 0);
    case '>':
      return compared(left, right, (order) => order > 0);
    case '>=':
      return compared(left, right, (order) => order >= 0);
    case '%':
      return modulo(left, right);
    default:
      return undefined;
  }
}

function compared(
  left: RuntimeValue,
  right: RuntimeValue,
  holds: (order: number) => boolean,
): RuntimeValue | undefined {
  const order = pythonCompare(left, right);
  return order === undefined ? undefined : booleanValue(holds(order));
}

/** Takes the sign of the divisor. */
function modulo(left: RuntimeValue, right: RuntimeValue): RuntimeValue | undefined {
  if (left.type !== 'IntegerValue' || right.type !== 'IntegerValue') return undefined;
  const divisor = right.value as number;
  if (divisor === 0) throw new Error('integer modulo by zero');
  return integerValue((((left.value as number) % divisor) + divisor) % divisor);
}
