/** A short text that differs between models whose keys and values differ: what cached keys and values are filed under, in
 * memory and in prompt-cache files.
 *
 * It covers all hyperparameters but the name, and every tensor's name, type, shape and bytes: all bytes of a small model;
 * of a large one `SAMPLE_BYTES` at the start, in the middle and at the end of each tensor, as reading all of it again would
 * double the time to load. Training and quantizing touch every part of a tensor. Only an edit by hand, of a few values away
 * from the samples, would go unseen.
 *
 * It does not cover paths, dates, how tensors are spread over files, or the tokenizer: the same model in one file and in
 * shards, here and elsewhere, has one fingerprint. */
import { createHash, type Hash } from 'node:crypto';
import type { StoredTensor, TensorFile } from '../../formats/tensor-file.ts';
import type { ModelConfig } from '../model/model-config.ts';

/** Up to here all bytes count: some ten milliseconds. */
const MAX_WHOLE_BYTES = 2 ** 24;
const SAMPLE_BYTES = 2 ** 12;

/** Changes when what is covered changes. */
const SCHEME = 'quern-model-1';

/** SHA-256 in hexadecimal: 64 characters.
 * @throws FormatError when the file cannot be read */
export async function fingerprintModel(
  file: Pick<TensorFile, 'tensors' | 'read'>,
  config: ModelConfig,
): Promise<string> {
  const tensors = [...file.tensors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const totalBytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const digest = createHash('sha256').update(SCHEME);
  const { name: _, ...hyperparameters } = config;
  addText(digest, canonicalJson(hyperparameters));
  const buffer = new Uint8Array(totalBytes <= MAX_WHOLE_BYTES ? 2 ** 20 : SAMPLE_BYTES);
  for (const tensor of tensors) {
    const { name, dtype, shape, byteLength } = tensor;
    addText(digest, JSON.stringify([name, dtype, shape, byteLength]));
    const starts = totalBytes <= MAX_WHOLE_BYTES ? everyStart(tensor, buffer.length) : sampleStarts(tensor);
    for (const start of starts) {
      const target = buffer.subarray(0, Math.min(buffer.length, byteLength - start));
      await file.read(tensor, start, target);
      digest.update(target);
    }
  }
  return digest.digest('hex');
}

function* everyStart({ byteLength }: StoredTensor, step: number): Generator<number> {
  for (let start = 0; start < byteLength; start += step) yield start;
}

function sampleStarts({ byteLength }: StoredTensor): Iterable<number> {
  const last = Math.max(0, byteLength - SAMPLE_BYTES);
  return byteLength === 0 ? [] : new Set([0, Math.floor(last / 2), last]);
}

/** Preceded by its length, so that no two lists of texts read alike. */
function addText(digest: Hash, text: string): void {
  const bytes = Buffer.from(text);
  digest.update(`${bytes.length}:`).update(bytes);
}

/** JSON with keys in order: hyperparameters are equal when their texts are. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) => {
    if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) return entry;
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
