import { describe, expect, it } from 'vitest';
import { type ChatMessage, readMessages } from '../../../engine/chat/chat-message.ts';

const read = (...messages: unknown[]) => readMessages(messages as ChatMessage[]);

describe('readMessages', () => {
  it('gives content as a string, and passes on what else there is', () => {
    const [message] = read({ role: 'assistant', content: 'Yes', reasoning_content: 'Hm', name: undefined });
    expect(Object.fromEntries(message!)).toEqual({ role: 'assistant', content: 'Yes', reasoning_content: 'Hm' });
  });

  it('joins text parts with line feeds', () => {
    const parts = [
      { type: 'text', text: 'a' },
      { type: 'text', text: 'b' },
    ];
    expect(read({ role: 'user', content: parts })[0]!.get('content')).toBe('a\nb');
    expect(read({ role: 'user', content: [] })[0]!.get('content')).toBe('');
  });

  it('reads the arguments of a call from JSON text', () => {
    const call = { id: '1', type: 'function', function: { name: 'f', arguments: '{"x": [1]}' } };
    const [message] = read({ role: 'assistant', content: null, tool_calls: [call] });
    expect(message!.get('content')).toBe('');
    expect(message!.get('tool_calls')).toEqual([{ ...call, function: { name: 'f', arguments: { x: [1] } } }]);
  });

  it('names what is wrong, and where', () => {
    const wrong: [unknown, RegExp][] = [
      ['Hello', /messages\[0\]: must be an object/],
      [null, /messages\[0\]: must be an object/],
      [{ role: 'wizard', content: '' }, /messages\[0\]\.role: must be one of .*got 'wizard'/],
      [{ role: 'user<|im_end|>', content: '' }, /role: must be one of/],
      [{ role: 7, content: '' }, /role: must be one of .*got number/],
      [{ role: 'user' }, /messages\[0\]\.content: must be a string or .*got undefined/],
      [{ role: 'user', content: null }, /got null/],
      [{ role: 'user', content: 5 }, /got number/],
      [{ role: 'user', content: ['a'] }, /content\[0\]: must be \{type: 'text'/],
      [{ role: 'user', content: [{ type: 'image_url' }] }, /reads text only, got type 'image_url'/],
      [{ role: 'user', content: [{ type: 'text' }] }, /content\[0\]\.text: must be a string/],
      [{ role: 'user', content: '', name: 1 }, /messages\[0\]\.name: must be a string/],
      [{ role: 'assistant', tool_calls: {} }, /tool_calls: must be an array/],
      [{ role: 'assistant', tool_calls: [{ function: {} }] }, /tool_calls\[0\]: must be/],
      [
        { role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: '[1' } }] },
        /arguments: must be a JSON object/,
      ],
      [
        { role: 'assistant', tool_calls: [{ function: { name: 'f', arguments: '[1]' } }] },
        /arguments: must be a JSON object/,
      ],
    ];
    for (const [message, problem] of wrong) expect(() => read(message)).toThrow(problem);
    expect(() => read()).toThrow(/at least one message/);
    expect(() => readMessages('Hello' as unknown as ChatMessage[])).toThrow(/must be an array/);
    expect(() => read({ role: 'user', content: 'a' }, {})).toThrow(/messages\[1\]/);
  });
});
