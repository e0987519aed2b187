/** `quern chat`, by a script through a pipe and by a person at a terminal. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bundledModelPath } from '../../engine/bundled-model.ts';
import { runCli } from '../helpers/run-cli.ts';
import { useTemporaryFolder } from '../helpers/temporary-folder.ts';
import { atTerminal, hasTerminal, type TerminalStep, terminalNote } from '../helpers/terminal.ts';

const folder = useTemporaryFolder();
const DRAFT = bundledModelPath('draft');
const GREEDY = ['chat', '-m', DRAFT, '-t', '0', '--temperature', '0', '-n', '8'];

interface JsonAnswer {
  readonly text: string;
  readonly usage: { readonly numPromptTokens: number; readonly numCachedTokens: number };
  readonly finishReason: string;
  readonly numTokensLeft: number;
}

const jsonAnswers = (stdout: string) =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as JsonAnswer);

describe('quern chat in a pipe', () => {
  it('answers each line, remembers the ones before, and tells people apart from programs', async () => {
    const stdin = 'Hello\n\n/exit is no command here\n';
    const [text, json] = await Promise.all([runCli(GREEDY, { stdin }), runCli([...GREEDY, '--json'], { stdin })]);
    const answers = jsonAnswers(json.stdout);
    expect(answers).toHaveLength(2);
    expect(text.stdout).toBe(answers.map((answer) => `${answer.text.trimStart()}\n`).join(''));
    expect(text.stderr).toBe(
      'This model has no chat template: it was not trained on conversations, and continues a plain dialogue instead.\n' +
        '[stopped at --max-tokens]\n'.repeat(2),
    );
    expect([text.code, json.code]).toEqual([0, 0]);
    const [first, second] = answers;
    expect(first!.finishReason).toBe('length');
    // The question, the answer and the second question.
    expect(second!.usage.numPromptTokens).toBeGreaterThan(first!.usage.numPromptTokens + 8);
    expect(second!.usage.numCachedTokens).toBeGreaterThan(0);
    expect(second!.numTokensLeft).toBe(512 - second!.usage.numPromptTokens - 8);
  });

  it('takes a line as it is, whatever Unicode calls a line end, and refuses one without an end', async () => {
    const { stdout, code } = await runCli([...GREEDY, '-q', '--json'], { stdin: 'one\u2028message\r\n' });
    expect(code).toBe(0);
    expect(jsonAnswers(stdout)).toHaveLength(1);
    const endless = await runCli([...GREEDY, '-q'], { stdin: Buffer.alloc(2 ** 24 + 1, 'x') });
    expect(endless).toEqual({
      code: 3,
      stdout: '',
      stderr: 'quern: stdin: line 1 at byte 0: is longer than 16777216 bytes\n',
    });
  });

  it('takes a template, names for it, and a system message', async () => {
    const template = await folder.put(
      'chat.jinja',
      '{{ mood }}{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}',
    );
    const args = [...GREEDY, '--chat-template', template, '--template-variable', 'mood=Glad', '--system', 'Sing.'];
    const { code, stderr, stdout } = await runCli([...args, '--json'], { stdin: 'La <|endoftext|> la' });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const plain = await runCli(['tokenize', '-m', DRAFT, '--json', 'Glad[system] Sing. [user] La <|endoftext|> la ']);
    const { tokens } = JSON.parse(plain.stdout) as { tokens: number[] };
    // The special token in the message is text, cut after its first character; BOS is added.
    expect(jsonAnswers(stdout)[0]!.usage.numPromptTokens).toBe(tokens.length + 1);
  });

  it('stops with an exit code for the input when the conversation does not fit', async () => {
    const { code, stdout, stderr } = await runCli([...GREEDY, '-q', '-c', '40'], {
      stdin: `Hello\n${'word '.repeat(60)}\nHello\n`,
    });
    expect(code).toBe(3);
    expect(stdout.trim().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(
      /\d+ tokens do not fit into a context of 40: the conversation with this message is too long/,
    );
  });

  it('says what is wrong with a template', async () => {
    const broken = await folder.put('broken.jinja', '{% if %}');
    const strict = await folder.put('strict.jinja', "{{ raise_exception('Not today.') }}");
    const [missing, unreadable, refused] = await Promise.all([
      runCli([...GREEDY, '--chat-template', folder.at('nowhere.jinja')], { stdin: 'Hello' }),
      runCli([...GREEDY, '--chat-template', broken], { stdin: 'Hello' }),
      runCli([...GREEDY, '--chat-template', strict], { stdin: 'Hello' }),
    ]);
    expect([missing.code, unreadable.code, refused.code]).toEqual([3, 3, 2]);
    expect(missing.stderr).toMatch(/nowhere\.jinja: no such file\n/);
    expect(unreadable.stderr).toMatch(/chat template is not supported: it cannot be parsed/);
    expect(refused.stderr).toMatch(/messages: the model's chat template refuses them: Not today\./);
    const usage = await runCli([...GREEDY, '--template-variable', '1x=2'], { stdin: '' });
    expect(usage.code).toBe(2);
  });

  it('ends at Ctrl-C with its exit code', async () => {
    const args = ['chat', '-q', '--seed', '1', '-n', '400'];
    const { code, stderr } = await runCli(args, { stdin: 'Hello', onFirstOutput: (child) => child.kill('SIGINT') });
    expect(code).toBe(130);
    expect(stderr).toBe('quern: the request was aborted\n');
  });

  it('ends at Ctrl-C while it waits for the next line', async () => {
    const { code, stdout } = await runCli([...GREEDY, '--json'], {
      stdin: 'Hello\n',
      keepsStdinOpen: true,
      onFirstOutput: (child) => child.kill('SIGINT'),
    });
    expect(jsonAnswers(stdout)).toHaveLength(1);
    expect(code).toBe(130);
  });
});

function chatAtTerminal(steps: readonly TerminalStep[], args: readonly string[]) {
  return atTerminal(steps, args, { XDG_STATE_HOME: folder.at('state') });
}

const [CTRL_C, CTRL_D, UP] = ['\x03', '\x04', '\x1b[A'];

describe.skipIf(!hasTerminal)(`quern chat at a terminal${terminalNote}`, () => {
  it('Ctrl-C stops the answer and not the program; twice on an empty prompt leaves', async () => {
    const { shown, code } = await chatAtTerminal(
      [
        ['leaves\\..*> ', 'Tell me a story\r'],
        ['story\\s+\\S', CTRL_C],
        ['\\[interrupted\\].*> ', 'typed, taken back'],
        ['taken back', CTRL_C],
        ['\\^C.*> ', '/reset\r'],
        ['forgotten\\..*> ', CTRL_C],
        ['leaves\\).*> ', CTRL_C],
      ],
      ['chat', '--seed', '1', '-n', '400', '--no-history'],
    );
    expect(shown).toMatch(/\[interrupted\][\s\S]*forgotten[\s\S]*Ctrl-C once more/);
    expect(code).toBe(0);
    expect(existsSync(folder.at('state'))).toBe(false);
  });

  it('has commands, lines that go on, and a history for the next time', async () => {
    const saved = folder.at('saved.json');
    const first = await chatAtTerminal(
      [
        ['> ', 'Hello \\\r'],
        ['\\. ', 'there\r'],
        ['max-tokens\\].*> ', '/regenerate\r'],
        ['max-tokens\\].*> ', '/stats\r'],
        ['left in the context.*> ', `/save ${saved}\r`],
        ['messages saved.*> ', '/wrong\r'],
        ['no command.*> ', '/exit\r'],
      ],
      GREEDY,
    );
    expect(first.code).toBe(0);
    expect(first.shown).toMatch(/prompt of \d+ tokens, \d+ of them from the cache/);
    const messages = JSON.parse(readFileSync(saved, 'utf8')) as { content: string }[];
    expect(messages).toHaveLength(2);
    expect(messages[0]!.content).toBe('Hello \nthere');
    const second = await chatAtTerminal(
      [
        ['> ', UP.repeat(6)],
        ['there', CTRL_C],
        ['\\^C.*> ', CTRL_D],
      ],
      GREEDY,
    );
    expect(second.code).toBe(0);
  });

  it('goes on after a message that does not fit', async () => {
    const { shown, code } = await chatAtTerminal(
      [
        ['> ', `${'word '.repeat(60)}\r`],
        ['larger --context-length\\..*> ', 'Hello\r'],
        ['(max-tokens|ends here)\\].*> ', CTRL_D],
      ],
      [...GREEDY, '-c', '40', '--no-history'],
    );
    expect(shown).toMatch(/do not fit into a context of 40.*nothing was cut/);
    expect(code).toBe(0);
  });
});
