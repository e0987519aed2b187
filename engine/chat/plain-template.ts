/** What a conversation becomes for a model that has no chat template, which is one that was not trained on conversations:
 * a dialogue as books and web pages write it.
 *
 *   Be brief.
 *
 *   User: Hello
 *   Assistant: Hi there
 *   User: Who are you?
 *   Assistant:
 *
 * Only the text tells the turns apart, so a message that writes `User:` on a line of its own can pretend to be one. */
export const PLAIN_TEMPLATE = `{%- for message in messages -%}
{%- if message.role == 'system' or message.role == 'developer' -%}
{{- message.content | trim ~ '\\n\\n' -}}
{%- else -%}
{{- message.role | capitalize ~ ': ' ~ message.content | trim ~ '\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- 'Assistant:' -}}
{%- endif -%}
`;

/** Such a model does not end its turn; it goes on with the next one. */
export const PLAIN_STOP: readonly string[] = ['\nUser:'];
