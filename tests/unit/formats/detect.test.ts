import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectModel } from '../../../formats/detect.ts';
import { formatError } from '../../helpers/rejection.ts';
import { useTemporaryFolder } from '../../helpers/temporary-folder.ts';
import { ggufBytes } from './support/gguf-bytes.ts';
import { safetensorsBytes } from './support/safetensors-bytes.ts';

const folder = useTemporaryFolder();

async function holding(name: string, files: readonly string[]): Promise<string> {
  await mkdir(folder.at(name));
  for (const file of files) await writeFile(join(folder.at(name), file), '');
  return folder.at(name);
}

describe('detectModel', () => {
  it('looks at bytes, not at names', async () => {
    expect((await detectModel(await folder.put('a.bin', ggufBytes({})))).kind).toBe('gguf');
    expect((await detectModel(await folder.put('b.bin', ggufBytes({ magic: 'FUGG' })))).kind).toBe('gguf');
    expect((await detectModel(await folder.put('c.gguf', safetensorsBytes({})))).kind).toBe('safetensors');
    expect((await detectModel(await folder.put('model.safetensors.index.json', '{}'))).kind).toBe('safetensors');
  });

  it('tells folders apart', async () => {
    const path = await holding('full', ['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(await detectModel(path)).toEqual({ kind: 'hf-folder', path });
    expect((await detectModel(await holding('sharded', ['config.json', 'model.safetensors.index.json']))).kind).toBe(
      'hf-folder',
    );
    expect((await detectModel(await holding('weights', ['model.safetensors']))).kind).toBe('safetensors');
  });

  it('says what it found instead', async () => {
    const bin = await holding('bin', ['config.json', 'pytorch_model.bin']);
    expect((await formatError(detectModel(bin))).message).toMatch(
      /holds config\.json and model\.safetensors.*this one holds config\.json, pytorch_model\.bin$/,
    );
    const gguf = await holding('gguf', ['x.gguf', 'README.md']);
    expect((await formatError(detectModel(gguf))).message).toMatch(/To load the GGUF file in it, give .*x\.gguf$/);
    const many = await holding(
      'many',
      Array.from({ length: 12 }, (_, i) => `file-${i}`),
    );
    expect((await formatError(detectModel(many))).message).toMatch(/and 4 more$/);
    const zip = await folder.put('d.zip', 'PK\x03\x04 something');
    expect((await formatError(detectModel(zip))).message).toMatch(
      /neither a GGUF file, nor .* begins with bytes 504b0304/,
    );
  });
});
