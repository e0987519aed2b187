import { describe, expect, it } from 'vitest';
import { answerNote } from '../../../cli/chat/answer-notes.ts';
import { ChatSession } from '../../../cli/chat/chat-session.ts';
import { byteLevelTokenizer, CHATML } from './conversations.ts';
import { fakeEngine } from './fake-engine.ts';

const tokenizer = byteLevelTokenizer();

function start(options: { maxModelLen?: number; answers?: string[]; sampling?: object; plain?: boolean } = {}) {
  const engine = fakeEngine(tokenizer, options.maxModelLen);
  engine.answers = options.answers ?? [];
  const chatTemplate = options.plain === true ? undefined : CHATML;
  return {
    engine,
    session: new ChatSession(engine, { sampling: { ...options.sampling }, system: 'Be kind.', chatTemplate }),
  };
}

describe('ChatSession', () => {
  it('shows the model all that was said', async () => {
    const { engine, session } = start({ answers: ['Hi.', 'A mill.'] });
    await session.ask('Hello');
    await session.ask('What is a quern?');
    expect(engine.requests[1]!.prompt).toBe(
      '<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>\n' +
        '<|im_start|>user\nWhat is a quern?<|im_end|>\n<|im_start|>assistant\n',
    );
    expect(session.messages.map(({ content }) => content)).toEqual([
      'Be kind.',
      'Hello',
      'Hi.',
      'What is a quern?',
      'A mill.',
    ]);
    session.reset();
    expect(session.messages).toEqual([{ role: 'system', content: 'Be kind.' }]);
  });

  it('shows an answer without the blanks it begins with, and keeps it with them', async () => {
    const { session } = start({ answers: [' \n Hi  there '] });
    let shown = '';
    const answer = await session.ask('Hello', {
      onText: async (text) => {
        shown += text;
      },
    });
    expect(shown).toBe('Hi  there ');
    expect(answer.text).toBe(' \n Hi  there ');
    expect(session.messages.at(-1)!.content).toBe(answer.text);
  });

  it('answers again, with another seed', async () => {
    const { engine, session } = start({ answers: ['One', 'Two', 'Three', 'Four'], sampling: { seed: 7 } });
    expect(await session.regenerate()).toBeUndefined();
    await session.ask('Count');
    await session.regenerate();
    await session.regenerate();
    await session.ask('Go on');
    expect(session.messages.map(({ content }) => content)).toEqual(['Be kind.', 'Count', 'Three', 'Go on', 'Four']);
    expect(engine.requests.map(({ options }) => options.seed)).toEqual([7, 8, 9, 7]);
    expect(engine.requests[2]!.prompt).toBe(engine.requests[0]!.prompt);
  });

  it('keeps an interrupted answer as far as it came, and nothing of one that had not begun', async () => {
    const { session } = start({ answers: ['Well!', '!'] });
    const interrupted = async (question: string) => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 5);
      return session.ask(question, { signal: controller.signal });
    };
    const first = await interrupted('Why?');
    expect(first.result).toBeUndefined();
    expect(answerNote(first)).toBe('[interrupted]');
    await interrupted('And then?');
    expect(session.messages.map(({ content }) => content)).toEqual(['Be kind.', 'Why?', 'Well']);
  });

  it('refuses what does not fit, and stays as it was', async () => {
    const { engine, session } = start({ maxModelLen: 120 });
    await session.ask('Hello');
    const before = session.messages;
    await expect(session.ask('x'.repeat(100))).rejects.toMatchObject({ code: 'CONTEXT_LENGTH' });
    expect(session.messages).toEqual(before);
    expect(engine.requests).toHaveLength(1);
  });

  it('says why an answer is cut off', async () => {
    const { session } = start({ maxModelLen: 80, answers: ['abc', 'x'.repeat(200)], sampling: { max_tokens: 2 } });
    const short = await session.ask('Hi');
    expect(answerNote(short)).toBe('[stopped at --max-tokens]');
    const { session: full } = start({ maxModelLen: 80, answers: ['x'.repeat(200)], sampling: { max_tokens: 100 } });
    const answer = await full.ask('Hi');
    expect(answer.numTokensLeft).toBe(0);
    expect(answerNote(answer)).toMatch(/context is full/);
  });

  it('bounds and stops the answers of a model without a template', async () => {
    const { engine, session } = start({ plain: true, sampling: { stop: 'END' } });
    expect(session.hasTemplate).toBe(false);
    await session.ask('Hello');
    expect(engine.requests[0]!.prompt).toBe('Be kind.\n\nUser: Hello\nAssistant:');
    expect(engine.requests[0]!.options).toMatchObject({ max_tokens: 128, stop: ['END', '\nUser:'] });
  });
});
