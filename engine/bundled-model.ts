/** The models that come with the package. */
import { fileURLToPath } from 'node:url';

/** 'story' (4.5 million parameters) tells better stories; 'draft' (0.35 million) is for quick tests and for speculation. */
export type BundledModel = 'story' | 'draft';

const FILES: Readonly<Record<BundledModel, string>> = {
  story: 'story-4m-q8_0.gguf',
  draft: 'story-draft-q8_0.gguf',
};

/** Absolute path of a bundled GGUF file. */
export function bundledModelPath(name: BundledModel = 'story'): string {
  // One folder higher in the compiled package: dist/engine/ beside models/, not engine/.
  const toRoot = import.meta.url.endsWith('.ts') ? '..' : '../..';
  return fileURLToPath(new URL(`${toRoot}/models/${FILES[name]}`, import.meta.url));
}
