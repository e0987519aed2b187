/** A machine whose drivers find no GPU: sentences, not crashes. In a process of its own, as drivers look at the environment
 * when they are loaded. */
import { execFile } from 'node:child_process';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const REGISTRY = pathToFileURL(`${import.meta.dirname}/../../../../engine/kernels/backend-registry.ts`).href;

const SCRIPT = `
  const { createBackend, probeBackends } = await import('${REGISTRY}');
  const probes = await probeBackends();
  const auto = await createBackend('auto');
  const refused = await createBackend('webgpu').catch((error) => error);
  console.log(JSON.stringify({
    webgpu: probes.find(({ name }) => name === 'webgpu'),
    auto: auto.name,
    refused: { code: refused.code, message: refused.message },
  }));
  await auto.close();
`;

// Elsewhere the GPU is not found by a list of files that can be taken away.
it.skipIf(process.platform !== 'linux')(
  'the backend says that there is none, and auto computes on the CPU',
  async () => {
    const env = { ...process.env, VK_DRIVER_FILES: '/nowhere/icd.json', VK_ICD_FILENAMES: '/nowhere/icd.json' };
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', SCRIPT], { env });
    const said = JSON.parse(stdout.trim().split('\n').at(-1)!);
    expect(said.webgpu).toMatchObject({ available: false, reason: expect.stringContaining('GPU adapter') });
    expect(said.auto).toBe('wasm');
    expect(said.refused.code).toBe('UNSUPPORTED');
    expect(said.refused.message).toContain(said.webgpu.reason);
  },
);
