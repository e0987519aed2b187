/** A program: runs a small model on the wasm backend in this process, whatever its V8 can do, and prints as JSON what was
 * in use and a digest of the logits' bits. Arguments: model file, numerics. */
import { createHash } from 'node:crypto';
import { WasmBackend } from '../../engine/kernels/wasm/wasm-backend.ts';
import { loadModel } from '../../engine/loader/load-model.ts';
import { scoreTokens } from '../../engine/runner/single-sequence.ts';

const [, , path, numerics] = process.argv;
const backend = new WasmBackend({ numerics: numerics as 'fast' | 'portable' });
const model = await loadModel(path!, backend);
const digest = createHash('sha256');
const tokens = Array.from({ length: 37 }, (_, i) => 5 + 11 * i);
for await (const { rows } of scoreTokens(model, { tokens, generate: 3, kvDtype: 'f16' })) {
  digest.update(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
}
process.stdout.write(JSON.stringify({ features: backend.features, logits: digest.digest('hex') }));
await backend.close();
