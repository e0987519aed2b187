/** The families Quern knows. To add one: write its file under `architectures/`, list it here, and give the loader its
 * names (`engine/loader/weight-names.ts`) and hyperparameters. */
import { UnsupportedError } from '../errors.ts';
import { llama, mistral, qwen2 } from './architectures/llama.ts';
import type { ModelFamily } from './model-family.ts';

const FAMILIES: readonly ModelFamily[] = [llama, mistral, qwen2];

export function knownArchitectures(): readonly string[] {
  return FAMILIES.map((family) => family.architecture);
}

/** @throws UnsupportedError listing the known families. */
export function findModelFamily(architecture: string): ModelFamily {
  const family = FAMILIES.find((candidate) => candidate.architecture === architecture);
  if (family === undefined) {
    throw new UnsupportedError(`architecture '${architecture}'`, `known are ${knownArchitectures().join(', ')}`, {
      architecture,
    });
  }
  return family;
}
