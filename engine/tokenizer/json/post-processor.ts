/** `post_processor` of a tokenizer.json: which tokens are put around a text. */
import type { JsonNode } from './json-node.ts';

export interface TokensAround {
  readonly prefixIds: readonly number[];
  readonly suffixIds: readonly number[];
}

const NOTHING: TokensAround = { prefixIds: [], suffixIds: [] };

/** @throws FormatError, UnsupportedError naming the type */
export function readPostProcessor(node: JsonNode): TokensAround {
  if (node.isNull) return NOTHING;
  const type = node.get('type').string();
  switch (type) {
    case 'ByteLevel': // concerns offsets, not tokens
      return NOTHING;
    case 'Sequence':
      return node
        .get('processors')
        .items()
        .map(readPostProcessor)
        .reduce(
          (inner, outer) => ({
            prefixIds: [...outer.prefixIds, ...inner.prefixIds],
            suffixIds: [...inner.suffixIds, ...outer.suffixIds],
          }),
          NOTHING,
        );
    case 'TemplateProcessing':
      return readTemplate(node);
    default:
      throw node.unsupported(`the post-processor '${type}'`, 'known are Sequence, ByteLevel, TemplateProcessing');
  }
}

/** `single`: special tokens, the text (`Sequence`), special tokens. */
function readTemplate(node: JsonNode): TokensAround {
  const prefixIds: number[] = [];
  const suffixIds: number[] = [];
  let numTexts = 0;
  for (const item of node.get('single').items()) {
    if (!item.get('Sequence').isNull) {
      numTexts++;
      continue;
    }
    const name = item.get('SpecialToken').get('id').string();
    const ids = node
      .get('special_tokens')
      .get(name)
      .get('ids')
      .items()
      .map((id) => id.index());
    (numTexts === 0 ? prefixIds : suffixIds).push(...ids);
  }
  if (numTexts !== 1) throw node.get('single').fail(`must hold the text once, holds it ${numTexts} times`);
  return { prefixIds, suffixIds };
}
