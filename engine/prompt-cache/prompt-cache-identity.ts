/** What the bytes of a KV page depend on besides the tokens. A file's pages mean something only to an engine that agrees in
 * all of it. It is the file's header. */
import { packPlain, unpackPlain } from './plain-msgpack.ts';
import type { PromptCacheHost } from './prompt-cache-host.ts';

export interface PromptCacheIdentity {
  readonly modelFingerprint: string;
  readonly backend: string;
  /** See `KernelBackend.kvPageLayout`. */
  readonly kvPageLayout: string;
  readonly kvDtype: string;
  readonly numLayers: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Of all layers, keys and values together. */
  readonly bytesPerBlock: number;
}

/** What is compared, in this order, and what to call it. */
const FIELDS: Readonly<Record<keyof PromptCacheIdentity, string>> = {
  modelFingerprint: 'model',
  backend: 'backend',
  kvPageLayout: 'page layout',
  kvDtype: 'kvDtype',
  numLayers: 'numLayers',
  numKvHeads: 'numKvHeads',
  headDim: 'headDim',
  blockSize: 'blockSize',
  bytesPerBlock: 'bytes per block',
};

export function identityOf({ backend, layers, modelFingerprint }: PromptCacheHost): PromptCacheIdentity {
  const { shape, dtype, byteLength } = layers[0]!.keys;
  const [numBlocks, numKvHeads, blockSize, headDim] = shape as [number, number, number, number];
  return {
    modelFingerprint,
    backend: backend.name,
    kvPageLayout: backend.kvPageLayout,
    kvDtype: dtype,
    numLayers: layers.length,
    numKvHeads,
    headDim,
    blockSize,
    bytesPerBlock: (2 * layers.length * byteLength) / numBlocks,
  };
}

export function encodeIdentity(identity: PromptCacheIdentity): Uint8Array {
  return packPlain(identity);
}

/** How a file's header differs from the engine that would use the file: a sentence, or `undefined` when it does not.
 * @throws Error when the header cannot be read */
export function findDifference(header: Uint8Array, ours: PromptCacheIdentity): string | undefined {
  const theirs = unpackPlain(header);
  if (typeof theirs !== 'object' || theirs === null) throw new Error('is not a map');
  for (const [field, name] of Object.entries(FIELDS) as [keyof PromptCacheIdentity, string][]) {
    const value = (theirs as Readonly<Record<string, unknown>>)[field];
    if (value === ours[field]) continue;
    if (typeof value !== typeof ours[field]) throw new Error(`has no ${field}`);
    return `it was made with ${name} ${printable(value)}, but this engine has ${ours[field]}`;
  }
  return undefined;
}

/** A text out of a file, fit for a terminal. */
function printable(value: unknown): string {
  return String(value)
    .slice(0, 80)
    .replace(/[^ -~]/g, '?');
}
