"""Renders templates with jinja2, set up as Hugging Face transformers sets it up, into jinja2.json beside this file.

    python3 render-with-jinja2.py PATH_TO_FIXTURES      (needs jinja2; written with 3.1.6)

`features` are small templates of our own, one per thing that a Jinja implementation can get wrong; `published` are
conversations for the templates in fixtures/templates, which stay there.
"""
import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

HERE = pathlib.Path(__file__).parent
NOW = datetime.datetime(2024, 7, 6, 15, 4, 5)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


ENV = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols]
)
ENV.filters["tojson"] = tojson
ENV.globals["raise_exception"] = raise_exception
ENV.globals["strftime_now"] = NOW.strftime


def render(source, messages, options):
    names = {
        "messages": messages,
        "tools": options.get("tools"),
        "documents": None,
        "add_generation_prompt": options.get("addGenerationPrompt", True),
        "bos_token": "<s>",
        "eos_token": "</s>",
        **options.get("variables", {}),
    }
    try:
        return {"expected": ENV.from_string(source).render(**names)}
    except jinja2.exceptions.TemplateError as error:
        return {"error": str(error)}


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi there"},
    {"role": "user", "content": "  Who are you?\n"},
]
FEATURES = {
    "strip with characters": "{{ '\n  x \n'.strip('\n') }}|{{ '--a-'.lstrip('-') }}|{{ '--a-'.rstrip('-') }}|{{ ' a\x1c\x85 '.strip() }}|{{ '\ufeffa '.strip() }}",
    "strip keeps what it was not told to strip": "{% for m in messages %}[{{ m.content.lstrip('\n') }}]{% endfor %}",
    "what a value prints as": "{{ true }} {{ none }} {{ [1, 'a', none, true] }} {{ {'k': 'v'} }} {{ 1.5 }} {{ 'x' ~ 1 ~ none ~ true }} {{ undefined_name }}",
    "repr of texts": "{{ ['it\\'s', 'say \"hi\"', 'both \\' and \"', 'tab\\t nl\\n'] }}",
    "a loop's turn forgets what the last one set": "{% for m in messages %}{% if loop.first %}{% set once = 'set' %}{% endif %}{{ once | default('unset') }} {% endfor %}",
    "a loop does not change what is outside": "{% set x = 0 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}",
    "namespace": "{% set ns = namespace(n=0, text='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.text = ns.text + m.role %}{% endfor %}{{ ns.n }}{{ ns.text }}",
    "continue keeps what was printed": "{% for m in messages %}{{ m.role }}{% if m.role == 'user' %}!{% continue %}{% endif %},{% endfor %}",
    "break keeps what was printed": "{% for m in messages %}{{ m.role }}{% if loop.index == 2 %}!{% break %}{% endif %},{% else %}none{% endfor %}",
    "break in an inner loop": "{% for m in messages %}{% for n in messages %}{{ loop.index }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %};{% endfor %}",
    "loop over nothing": "{% for x in missing %}a{% else %}none{% endfor %}{% for x in [] %}a{% else %}none{% endfor %}",
    "loop over a text": "{% for c in 'a\U0001f999b' %}({{ c }}){% endfor %}",
    "loop with a condition": "{% for m in messages if m.role != 'system' %}{{ loop.index }}{{ m.role }}{% endfor %}",
    "loop over a mapping": "{% for k in messages[0] %}{{ k }};{% endfor %}{% for k, v in messages[0].items() %}{{ k }}={{ v }};{% endfor %}",
    "loop variables": "{% for m in messages %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.previtem.role if loop.previtem is defined }} {% endfor %}",
    "equality is by value and type": "{{ 1 == '1' }}{{ none == missing }}{{ '' == 0 }}{{ 1 == true }}{{ [1] == [1] }}{{ {'a': 1} == {'a': 1} }}{{ messages[1] == messages[1] }}",
    "in": "{{ 'e' in 'Hello' }}{{ 'role' in messages[0] }}{{ 'x' in ['x', 1] }}{{ 1 in ['1'] }}{{ 'tools' not in messages[0] }}{{ 'x' in missing }}",
    "text order": "{{ 'a' < 'b' }}{{ 'Z' < 'a' }}{{ 'ab' > 'a' }}{{ 2 >= 2.0 }}",
    "modulo": "{{ -1 % 3 }}{{ 5 % 3 }}{{ 7 // 2 }}{{ -7 // 2 }}",
    "code points": "{{ '\U0001f999a' | length }}{{ '\U0001f999a'[0] }}{{ '\U0001f999abc'[1:] }}{{ 'abc'[::-1] }}{{ 'abc'[-1] }}",
    "trim": "[{{ messages[3].content | trim }}][{{ missing | trim }}][{{ 'xxaxx' | trim('x') }}]",
    "default": "{{ missing | default('d') }}{{ '' | default('d') }}{{ '' | default('d', true) }}{{ missing | default }}{{ none | default('d', boolean=true) }}",
    "join": "{{ ['a', 1, true] | join(', ') }}{{ ', '.join(['a', 'b']) }}{{ [] | join }}",
    "first and last": "{{ messages | first | tojson }}{{ (messages | last).role }}{{ [] | first }}",
    "length": "{{ messages | length }}{{ messages[0] | length }}{{ messages | count }}{{ missing | length }}",
    "selectattr": "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | join(' ') }}",
    "split": "{{ 'a</t>b</t>c'.split('</t>')[-1] }}{{ ' a  b '.split() | join('_') }}{{ 'a,b,c'.split(',', 1) | join('_') }}",
    "capitals": "{{ 'hELLO wORLD' | capitalize }}{{ 'hELLO wORLD' | title }}{{ 'hELLO'.title() }}{{ 'abc' | upper }}{{ 'ABC'.lower() }}",
    "find and count": "{{ 'abcabc'.find('c') }}{{ 'abc'.find('z') }}{{ 'abcabc'.count('bc') }}",
    "replace": "{{ 'aXbX'.replace('X', '-') }}{{ 'aXbX' | replace('X', '-', 1) }}",
    "tests": "{{ 'a' is iterable }}{{ messages[0] is iterable }}{{ messages[0] is mapping }}{{ true is number }}{{ 1 is string }}{{ none is none }}{{ missing is defined }}{{ messages is sequence }}",
    "tojson": "{{ {'b': [1, 'ä\u2028\"', none, 1.5], 'a': {}} | tojson }}{{ {'b': 1, 'a': [2]} | tojson(indent=2, sort_keys=true) }}{{ 'ä\U0001f999' | tojson(ensure_ascii=true) }}",
    "macros": "{% macro turn(role, text='nothing') %}<{{ role }}>{{ text }}{{ none }}{% endmacro %}{{ turn('user', 'hi') }}{{ turn(role='tool') }}",
    "set with a body": "{% set x %}a{{ 1 }}{% endset %}[{{ x }}]",
    "filter with a body": "{% filter trim %}  a {% endfilter %}|",
    "white space control": "a\n  {%- if true -%}\n  b\n  {%- endif %}\n  {% if true %}\n  c\n  {% endif %}\nd {#- note -#}  e\n{# note #}\nf\n",
    "line ends": "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\r\n",
    "dates": "{{ strftime_now('%d %b %Y %B %m %y %H:%M:%S %A %a %j %I %p %%') }}",
    "none are defined": "{{ tools is defined }}{{ tools is none }}{{ documents is none }}",
    "negative index and slices": "{{ messages[-1].role }}{% for m in messages[1:] %}{{ m.role }}{% endfor %}{% for m in messages[::-1] %}{{ loop.index }}{% endfor %}",
    "nested conditions": "{% for m in messages %}{% if m.role == 'system' %}S{% elif m.role == 'user' %}U{% else %}{{ 'A' if loop.index is odd else 'B' }}{% endif %}{% endfor %}",
    "refusal": "{% if messages[0].role == 'system' %}{{ raise_exception('No system messages: ' ~ messages | length) }}{% endif %}",
    "missing fields": "{{ messages[0].nothing }}{{ messages[0]['nothing'] is defined }}{{ messages[0].get('nothing', 'x') }}{{ messages[0].get('nothing') }}",
    "range": "{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}",
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a \"city\", é.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
CALLS = [
    {"role": "user", "content": "Weather in Köln?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "abcdefghi", "type": "function", "function": {"name": "weather", "arguments": {"city": "Köln"}}}],
    },
    {"role": "tool", "content": "{\"temp\": 14}", "tool_call_id": "abcdefghi", "name": "weather"},
    {"role": "assistant", "content": "14 degrees."},
    {"role": "user", "content": "Thanks"},
]
CONVERSATIONS = {
    "one question": ([{"role": "user", "content": "Hello"}], {}),
    "no generation prompt": (CHAT[1:3], {"addGenerationPrompt": False}),
    "system": (CHAT, {}),
    "no system": (CHAT[1:], {}),
    "white space": ([{"role": "user", "content": "\n  a \n\n"}, {"role": "assistant", "content": "\n\n  b\n"}, {"role": "user", "content": "c "}], {}),
    "thinking": (
        [
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": "<think>\nadd\n</think>\n\n  2"},
            {"role": "user", "content": "2+2?"},
            {"role": "assistant", "content": "<think>\nadd again\n</think>\n\n4"},
        ],
        {"addGenerationPrompt": False},
    ),
    "thinking switched off": (CHAT[1:2], {"variables": {"enable_thinking": False}}),
    "a mode in the system message": ([{"role": "system", "content": "Be kind. /no_think "}, *CHAT[1:]], {}),
    "tools": (CHAT[1:], {"tools": TOOLS}),
    "tools and a call": (CALLS, {"tools": TOOLS}),
    "the same question twice": ([CHAT[1], CHAT[2], CHAT[1]], {"tools": TOOLS}),
    "roles that do not alternate": ([CHAT[1], CHAT[1]], {}),
    "other scripts": ([{"role": "user", "content": "\U0001f999 ｢日本語｣ \u00a0\u3000"}], {}),
}


def main(fixtures):
    features = [
        {"name": name, "template": source, "messages": CHAT, **render(source, CHAT, {})}
        for name, source in FEATURES.items()
    ]
    published = []
    for path in sorted(pathlib.Path(fixtures, "templates").glob("*.jinja")):
        for name, (messages, options) in CONVERSATIONS.items():
            published.append(
                {"file": path.name, "name": name, "messages": messages, "options": options, **render(path.read_text(), messages, options)}
            )
    generator = f"jinja2 {jinja2.__version__}, by render-with-jinja2.py in this folder"
    text = json.dumps({"generator": generator, "features": features, "published": published}, ensure_ascii=False, indent=1)
    (HERE / "jinja2.json").write_text(text + "\n")


main(sys.argv[1])
