/** Messages as a caller hands them in, and what a template gets to see of them. Names and shapes are those of OpenAI's
 * chat completions. Must not know templates. */
import { InvalidArgumentError } from '../errors.ts';

/** Who speaks. A closed list: templates write the role into the marker of a turn (`'<|' + role + '|>'`), so a free text
 * here could spell a special token. */
export const CHAT_ROLES = ['system', 'developer', 'user', 'assistant', 'tool'] as const;
export type ChatRole = (typeof CHAT_ROLES)[number];

export interface TextPart {
  readonly type: 'text';
  readonly text: string;
}

export interface ToolCall {
  readonly id?: string;
  readonly type?: 'function';
  readonly function: {
    readonly name: string;
    /** A JSON object, or one as text. */
    readonly arguments: string | Readonly<Record<string, unknown>>;
  };
}

export interface ChatMessage {
  readonly role: ChatRole;
  /** Text, or parts of it that are joined with line feeds. May be absent only where there are `tool_calls`. */
  readonly content?: string | readonly TextPart[] | null;
  readonly name?: string;
  /** What the assistant asked for. */
  readonly tool_calls?: readonly ToolCall[];
  /** In a message of a tool: the call that it answers. */
  readonly tool_call_id?: string;
  /** Whatever else a model's template reads, such as `reasoning_content`. JSON values. */
  readonly [field: string]: unknown;
}

/** A message as a template sees it: `content` is a string. */
export type TemplateMessage = ReadonlyMap<string, unknown>;

/** @throws InvalidArgumentError that names the message and the field */
export function readMessages(messages: readonly ChatMessage[]): TemplateMessage[] {
  if (!Array.isArray(messages)) throw new InvalidArgumentError('messages', 'must be an array of {role, content}');
  if (messages.length === 0) throw new InvalidArgumentError('messages', 'must hold at least one message');
  return messages.map((message: unknown, index) => readMessage(message, `messages[${index}]`));
}

function readMessage(message: unknown, path: string): TemplateMessage {
  if (!isRecord(message)) throw new InvalidArgumentError(path, 'must be an object {role, content}');
  const { role, content, tool_calls: toolCalls, ...others } = message;
  if (!CHAT_ROLES.includes(role as ChatRole)) {
    const got = typeof role === 'string' ? `'${role.slice(0, 40)}'` : typeof role;
    throw new InvalidArgumentError(`${path}.role`, `must be one of ${CHAT_ROLES.join(', ')}, got ${got}`);
  }
  const fields = new Map<string, unknown>([['role', role]]);
  fields.set('content', readContent(content, { path: `${path}.content`, mayBeAbsent: toolCalls != null }));
  if (toolCalls != null) fields.set('tool_calls', readToolCalls(toolCalls, `${path}.tool_calls`));
  for (const name of ['name', 'tool_call_id']) {
    if (others[name] != null && typeof others[name] !== 'string') {
      throw new InvalidArgumentError(`${path}.${name}`, `must be a string, got ${typeof others[name]}`);
    }
  }
  for (const [name, value] of Object.entries(others)) if (value !== undefined) fields.set(name, value);
  return fields;
}

function readContent(content: unknown, { path, mayBeAbsent }: { path: string; mayBeAbsent: boolean }): string {
  if (typeof content === 'string') return content;
  if (content == null && mayBeAbsent) return '';
  if (!Array.isArray(content)) {
    const got = content === null ? 'null' : typeof content;
    throw new InvalidArgumentError(path, `must be a string or an array of text parts, got ${got}`);
  }
  return content.map((part: unknown, index) => readPart(part, `${path}[${index}]`)).join('\n');
}

function readPart(part: unknown, path: string): string {
  if (!isRecord(part) || part.type !== 'text') {
    const got = isRecord(part) ? `type '${String(part.type).slice(0, 40)}'` : typeof part;
    throw new InvalidArgumentError(path, `must be {type: 'text', text}; this engine reads text only, got ${got}`);
  }
  if (typeof part.text !== 'string') throw new InvalidArgumentError(`${path}.text`, 'must be a string');
  return part.text;
}

function readToolCalls(toolCalls: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(toolCalls)) throw new InvalidArgumentError(path, 'must be an array');
  return toolCalls.map((call: unknown, index) => {
    const callPath = `${path}[${index}]`;
    const called = isRecord(call) ? call.function : undefined;
    if (!isRecord(call) || !isRecord(called) || typeof called.name !== 'string') {
      throw new InvalidArgumentError(callPath, 'must be {id, type, function: {name, arguments}}');
    }
    return {
      ...call,
      function: { ...called, arguments: readArguments(called.arguments, `${callPath}.function.arguments`) },
    };
  });
}

/** Clients send the arguments as JSON text; templates expect the object. */
function readArguments(value: unknown, path: string): unknown {
  let parsed: unknown = value;
  try {
    if (typeof value === 'string') parsed = JSON.parse(value);
  } catch {
    // Reported below.
  }
  if (!isRecord(parsed)) throw new InvalidArgumentError(path, 'must be a JSON object, or one as text');
  return parsed;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
