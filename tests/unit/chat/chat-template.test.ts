import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ChatMessage, type ChatRenderOptions, ChatTemplate } from '../../../engine/chat/index.ts';
import type { QuernError } from '../../../engine/errors.ts';
import { fixturePath, hasFixtures, readJson, skipNote } from '../../helpers/fixtures.ts';
import { assistant, CHATML, user } from './conversations.ts';

interface GoldenCase {
  readonly name: string;
  readonly template?: string;
  readonly file?: string;
  readonly messages: readonly ChatMessage[];
  readonly options?: ChatRenderOptions;
  readonly expected?: string;
  readonly error?: string;
}

const golden = JSON.parse(readFileSync(new URL('golden/jinja2.json', import.meta.url), 'utf8')) as {
  readonly features: readonly GoldenCase[];
  readonly published: readonly GoldenCase[];
};
const OPTIONS = { bosToken: '<s>', eosToken: '</s>', now: () => new Date(2024, 6, 6, 15, 4, 5) };

function check(source: string, { messages, options, expected, error }: GoldenCase): void {
  const template = ChatTemplate.parse(source, OPTIONS);
  if (error !== undefined) {
    expect(() => template.render(messages, options)).toThrow(error);
    expect(() => template.render(messages, options)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    return;
  }
  expect(template.render(messages, options)).toBe(expected);
  expect(template.renderMarked(messages, options).text).toBe(expected);
}

describe('features of Jinja, as jinja2 has them', () => {
  for (const feature of golden.features) it(feature.name, () => check(feature.template!, feature));
});

describe.skipIf(!hasFixtures)(`published templates, as jinja2 renders them${skipNote}`, () => {
  for (const conversation of golden.published) {
    it(`${conversation.file}: ${conversation.name}`, () => {
      check(readFileSync(fixturePath(`templates/${conversation.file}`), 'utf8'), conversation);
    });
  }
});

describe.skipIf(!hasFixtures)(`llama.cpp's template cases${skipNote}`, async () => {
  interface Case {
    readonly name: string;
    readonly template: string;
    readonly bos_token: string;
    readonly eos_token: string;
    readonly real_jinja2_output: string;
  }
  const cases = hasFixtures ? await readJson<Case[]>(fixturePath('cases/chat_template_cases.json')) : [];
  // The conversation of llama.cpp's own test.
  const messages: ChatMessage[] = [
    { role: 'system', content: 'You are a helpful assistant' },
    user('Hello'),
    assistant('Hi there'),
    user('Who are you'),
    assistant('   I am an assistant   '),
    user('Another question'),
  ];
  for (const { name, template, bos_token, eos_token, real_jinja2_output } of cases) {
    it(name, () => {
      const parsed = ChatTemplate.parse(template, { bosToken: bos_token, eosToken: eos_token });
      expect(parsed.render(messages)).toBe(real_jinja2_output);
    });
  }
});

describe('what a template is given', () => {
  const render = (source: string, options?: ChatRenderOptions): string =>
    ChatTemplate.parse(source).render([user('Hi')], options);

  it('names of the caller', () => {
    expect(render('{{ mode }}{{ enable_thinking }}', { variables: { mode: 'x', enable_thinking: false } })).toBe(
      'xFalse',
    );
  });

  it('refuses names that would hide its own, and values that JSON lacks', () => {
    for (const name of ['messages', 'raise_exception', 'bos_token', 'true']) {
      expect(() => render('', { variables: { [name]: 1 } })).toThrow(/every template is given/);
    }
    const circle: unknown[] = [];
    circle.push(circle);
    expect(() => render('', { tools: circle })).toThrow(/more than 64 levels/);
    expect(() => render('', { tools: [{ run: () => 1 }] })).toThrow(/tools\[0\]\.run: must be a JSON value/);
    expect(() => render('', { variables: { x: Number.NaN } })).toThrow(/must be a JSON value, got NaN/);
    expect(() => render('', { tools: 'weather' as unknown as [] })).toThrow(/tools: must be an array/);
  });

  it('nothing of JavaScript: prototypes are no attributes', () => {
    const source =
      "{{ messages.constructor }}{{ messages[0].__proto__ }}{{ ''.constructor }}{{ messages[0]['toString'] }}";
    expect(render(source)).toBe('');
    const hostile = JSON.parse('[{"role": "user", "content": "a", "__proto__": {"admin": "yes"}}]') as ChatMessage[];
    expect(ChatTemplate.parse('{{ messages[0].admin }}{{ messages[0].keys() | list }}').render(hostile)).toBe(
      "['role', 'content', '__proto__']",
    );
  });
});

describe('where the text came from', () => {
  const contents = (source: string, messages: ChatMessage[], options?: ChatRenderOptions): string[] => {
    const { text, contentSpans } = ChatTemplate.parse(source).renderMarked(messages, options);
    return contentSpans.map(([start, end]) => text.slice(start, end));
  };

  it('marks contents, through whatever the template does with them', () => {
    expect(contents(CHATML, [user('Hi'), assistant('Yes')])).toEqual(['Hi', 'Yes']);
    const strips = "{{ '<' ~ (messages[0].content | trim) ~ '>' }}{{ messages[0].content.rstrip()[1:] }}";
    expect(contents(strips, [user(' ab ')])).toEqual(['ab', 'ab']);
    const splits = "{% for part in messages[0].content.split('-') %}{{ part | upper }};{% endfor %}";
    expect(contents(splits, [user('a-b')])).toEqual(['A', 'B']);
    const collects =
      "{% set ns = namespace(all='') %}{% for m in messages %}{% set ns.all = ns.all ~ m.content ~ ',' %}{% endfor %}{{ ns.all }}";
    expect(contents(collects, [user('a'), assistant('b')])).toEqual(['a', 'b']);
    expect(contents('{% for c in messages[0].content %}{{ c }}.{% endfor %}', [user('🦙b')])).toEqual(['🦙', 'b']);
  });

  it('marks keys and values of tools, and nothing of a role', () => {
    const tools = [{ name: 'a"b', n: 1 }];
    expect(contents('{{ messages[0].role }}{{ tools | tojson }}', [user('x')], { tools })).toEqual([
      'name',
      'a\\"b',
      'n',
    ]);
    expect(contents('{% for k, v in tools[0].items() %}{{ k }}={{ v }} {% endfor %}', [user('x')], { tools })).toEqual([
      'name',
      'a"b',
      'n',
    ]);
    expect(contents('{{ tools[0][messages[0].content] }}', [user('name')], { tools })).toEqual(['a"b']);
    expect(contents('{{ tools | tojson(ensure_ascii=true) }}', [user('x')], { tools: ['𐀀\\udc00'] })).toEqual([
      '\\ud800\\udc00\\\\udc00',
    ]);
  });

  it('is not confused by contents that hold the marks', () => {
    expect(contents(CHATML, [user('a\uDC01b\uDC00'), assistant('\uDC00')])).toEqual(['a\uFFFDb\uFFFD', '\uFFFD']);
  });

  it('says which text of the template was taken for content', () => {
    const parse = (source: string) => ChatTemplate.parse(source).renderMarked([user('a-b')]).blurredText;
    expect(parse("{{ '<x>' + messages[0].content.replace('-', '') }}")).toEqual(new Set());
    expect(parse("{{ ('<x>' + messages[0].content).replace('-', '') }}")).toEqual(new Set(['<x>']));
  });
});

describe('templates that fail', () => {
  const LIMITS: Readonly<Record<string, string>> = {
    'loops within loops': '{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}',
    'an enormous range': '{% for a in range(1000000000) %}x{% endfor %}',
    'a text that doubles':
      "{% set ns = namespace(x='abcdefgh') %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
    'a list that doubles':
      '{% set ns = namespace(x=[1]) %}{% for a in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}',
    'endless recursion': '{% macro a(n) %}{{ a(n) }}{% endmacro %}{{ a(1) }}',
    'deep nesting': `{{ ${'('.repeat(100_000)}`,
    'a long chain': `{{ 1${'+1'.repeat(60_000)} }}`,
    'enormous indentation': "{{ 'a\nb' | indent(1000000000) }}",
    'a source of a megabyte': 'x'.repeat(2 ** 20),
    'endless white space': `x${' '.repeat(100_000)}`,
    'an unknown tag': '{% include "secrets" %}',
    'an unknown filter': "{{ 'a' | system }}",
    'an open tag': '{% if true',
    'a missing function': '{{ run("ls") }}',
    'break outside of a loop': '{% break %}',
  };
  for (const [name, source] of Object.entries(LIMITS)) {
    it(`${name}: an UnsupportedError`, () => {
      let error: unknown;
      try {
        ChatTemplate.parse(source).render([user('Hi')]);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'UNSUPPORTED' });
      expect((error as QuernError).message).toContain("the model's chat template");
    });
  }

  it('a long conversation is no endless one', () => {
    const messages = Array.from({ length: 2000 }, (_, i) => (i % 2 === 0 ? user(`Question ${i}`) : assistant('Yes.')));
    messages.push(user('x'.repeat(2 ** 20)));
    expect(ChatTemplate.parse(CHATML).render(messages).length).toBeGreaterThan(2 ** 20);
  });
});
