/** What there is to know about a tokenizer at a glance. */
import { TOKEN_TYPES, type Tokenizer, type TokenType } from '../tokenizer/index.ts';

export interface NamedToken {
  readonly id: number;
  readonly text: string;
}

export interface TokenizerFacts {
  readonly vocabSize: number;
  readonly bos: NamedToken | null;
  readonly eos: NamedToken | null;
  readonly unknown: NamedToken | null;
  readonly padding: NamedToken | null;
  readonly endOfGeneration: readonly NamedToken[];
  readonly addBos: boolean;
  readonly addEos: boolean;
  /** How many tokens are of which type; types without any are left out. */
  readonly tokensByType: Readonly<Partial<Record<TokenType, number>>>;
  readonly hasChatTemplate: boolean;
}

export function tokenizerFacts(tokenizer: Tokenizer): TokenizerFacts {
  const named = (id: number): NamedToken => ({ id, text: tokenizer.tokenText(id) });
  const optional = (id: number | undefined): NamedToken | null => (id === undefined ? null : named(id));
  const counts = new Map<TokenType, number>();
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const type = tokenizer.tokenType(id);
    counts.set(type, (counts.get(type) ?? 0) + 1);
  }
  return {
    vocabSize: tokenizer.vocabSize,
    bos: optional(tokenizer.bosId),
    eos: optional(tokenizer.eosId),
    unknown: optional(tokenizer.unknownId),
    padding: optional(tokenizer.paddingId),
    endOfGeneration: [...tokenizer.endOfGenerationIds].toSorted((a, b) => a - b).map(named),
    addBos: tokenizer.addBos,
    addEos: tokenizer.addEos,
    tokensByType: Object.fromEntries(
      TOKEN_TYPES.filter((type) => counts.has(type)).map((type) => [type, counts.get(type)]),
    ),
    hasChatTemplate: tokenizer.chatTemplate !== undefined,
  };
}
