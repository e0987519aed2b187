/** What a person types: turns, commands, history. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { CHAT_COMMANDS, parseChatLine, runChatCommand } from '../../../cli/chat/chat-commands.ts';
import { ChatSession } from '../../../cli/chat/chat-session.ts';
import { chatHistoryPath, HistoryFile } from '../../../cli/chat/history-file.ts';
import { type LineEvent, readTurn } from '../../../cli/chat/read-turn.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { byteLevelTokenizer, CHATML } from './conversations.ts';
import { fakeEngine } from './fake-engine.ts';

const folder = useTemporaryFolder();

describe('readTurn', () => {
  const line = (text: string): LineEvent => ({ kind: 'line', text });
  const ctrlC = (hadText = false): LineEvent => ({ kind: 'interrupt', hadText });
  const end: LineEvent = { kind: 'end' };
  const turnOf = async (...events: LineEvent[]) => {
    const notes: string[] = [];
    const turn = await readTurn({ read: async () => events.shift() ?? end }, (text) => notes.push(text));
    return { turn, notes: notes.length, unread: events.length };
  };

  it('joins lines that end with a backslash', async () => {
    expect(await turnOf(line('a\\'), line('\\'), line('b'))).toMatchObject({ turn: 'a\n\nb', notes: 0 });
  });

  it('leaves at the second Ctrl-C on an empty prompt, and at Ctrl-D', async () => {
    expect(await turnOf(ctrlC(), ctrlC(), line('not read'))).toEqual({ turn: undefined, notes: 1, unread: 1 });
    expect(await turnOf(end, line('not read'))).toMatchObject({ turn: undefined, unread: 1 });
    expect(await turnOf(line('a\\'), end)).toMatchObject({ turn: undefined });
  });

  it('takes back with Ctrl-C what was typed, and does not count that', async () => {
    expect(await turnOf(ctrlC(), ctrlC(true), ctrlC(), line('a'))).toMatchObject({ turn: 'a', notes: 2 });
    expect(await turnOf(line('wrong\\'), ctrlC(), line('right'))).toMatchObject({ turn: 'right', notes: 0 });
  });
});

describe('parseChatLine', () => {
  it('tells commands from messages', () => {
    expect(parseChatLine('Hello /reset')).toEqual({ kind: 'message', text: 'Hello /reset' });
    expect(parseChatLine('//etc/passwd?')).toEqual({ kind: 'message', text: '/etc/passwd?' });
    expect(parseChatLine('/system  Be kind.\nAlways. ')).toEqual({
      kind: 'command',
      name: '/system',
      argument: 'Be kind.\nAlways.',
    });
    expect(parseChatLine('/')).toEqual({ kind: 'command', name: '/', argument: '' });
  });
});

describe('runChatCommand', () => {
  function start() {
    const engine = fakeEngine(byteLevelTokenizer());
    const session = new ChatSession(engine, { sampling: {}, chatTemplate: CHATML });
    const notes: string[] = [];
    const answers: string[] = [];
    const context = {
      session,
      lastAnswer: undefined,
      note: (text: string) => notes.push(text),
      answer: async (go: Parameters<Parameters<typeof runChatCommand>[2]['answer']>[0]) => {
        const answer = await go({});
        if (answer !== undefined) answers.push(answer.text);
      },
    };
    const run = (name: string, argument = '') => runChatCommand(name, argument, context);
    return { engine, session, notes, answers, context, run };
  }

  it('/help lists every command, and every command is known', async () => {
    const { notes, run } = start();
    for (const name of Object.keys(CHAT_COMMANDS)) await run(name);
    for (const name of Object.keys(CHAT_COMMANDS)) expect(notes[0]).toContain(name);
    expect(notes.join('\n')).not.toContain('is no command');
    await run('/dance');
    expect(notes.at(-1)).toMatch(/^\/dance is no command/);
    expect(await run('/exit')).toBe('exit');
  });

  it('/system sets, shows and takes away', async () => {
    const { session, notes, run } = start();
    await run('/system', 'Be brief.');
    expect(session.messages).toEqual([{ role: 'system', content: 'Be brief.' }]);
    await run('/system');
    expect(notes.at(-1)).toBe('Be brief.');
    await run('/system', '-');
    expect(session.system).toBeUndefined();
  });

  it('/reset, /regenerate and /stats', async () => {
    const { engine, session, notes, answers, context, run } = start();
    engine.answers = ['One', 'Two'];
    await run('/regenerate');
    expect(notes.at(-1)).toBe('There is nothing to answer yet.');
    const lastAnswer = await session.ask('Hello');
    await run('/regenerate');
    expect(answers).toEqual(['Two']);
    await runChatCommand('/stats', '', { ...context, lastAnswer });
    expect(notes.at(-1)).toMatch(
      /^prompt of \d+ tokens, 0 of them from the cache; .* 3 generated at .* seed 5; \d+ tokens left/,
    );
    await run('/reset');
    expect(session.messages).toEqual([]);
  });

  it('/save writes a new file, and never over another', async () => {
    const { session, run, notes } = start();
    await session.ask('Hello');
    const file = folder.at('conversation.json');
    await run('/save', file);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(session.messages);
    await expect(run('/save', file)).rejects.toMatchObject({
      code: 'FILE_ACCESS',
      message: expect.stringContaining('exists'),
    });
    await expect(run('/save', folder.at('no/such/folder.json'))).rejects.toMatchObject({ code: 'FILE_ACCESS' });
    await run('/save');
    expect(notes.at(-1)).toMatch(/Say where/);
  });
});

describe('HistoryFile', () => {
  const problems: string[] = [];
  const open = (name: string) => new HistoryFile(folder.at(name), (problem) => problems.push(problem));

  it('keeps lines for the next time, newest first, readable by their owner alone', () => {
    const history = open('state/quern/history');
    expect(history.load()).toEqual([]);
    for (const line of ['one', ' secret', '', '  ', 'two']) history.append(line);
    expect(open('state/quern/history').load()).toEqual(['two', 'one']);
    if (process.platform !== 'win32') expect(statSync(folder.at('state/quern/history')).mode & 0o077).toBe(0);
  });

  it('does not grow for ever', async () => {
    const lines = Array.from({ length: 2500 }, (_, i) => `line ${i}`);
    const path = await folder.put('long-history', `${lines.join('\n')}\n`);
    const loaded = open('long-history').load();
    expect(loaded).toHaveLength(1000);
    expect(loaded[0]).toBe('line 2499');
    expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(1001);
  });

  it('that cannot be used says so once and costs nothing else', async () => {
    await mkdir(folder.at('a-folder'), { recursive: true });
    const history = open('a-folder');
    problems.length = 0;
    expect(history.load()).toEqual([]);
    history.append('lost');
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(/^no history: /);
    await writeFile(folder.at('a-file'), '');
    expect(new HistoryFile(folder.at('a-file/history'), () => {}).load()).toEqual([]);
    expect(existsSync(folder.at('a-file/history'))).toBe(false);
  });

  it('lies where the platform keeps state', () => {
    expect(chatHistoryPath({ XDG_STATE_HOME: '/state' }, 'linux')).toMatch(/^[\\/]state[\\/]quern[\\/]chat-history$/);
    expect(chatHistoryPath({ XDG_STATE_HOME: 'relative' }, 'linux')).toMatch(
      /\.local[\\/]state[\\/]quern[\\/]chat-history$/,
    );
    expect(chatHistoryPath({}, 'win32')).toMatch(/AppData[\\/]Local[\\/]quern[\\/]chat-history$/);
  });
});
