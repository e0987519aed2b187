/** The wasm backend in each of its variants: as it comes, without anything that differs between machines, and without
 * V8's experimental fusing. */
import { WasmBackend } from '../../engine/kernels/wasm/wasm-backend.ts';
import { describeBackend } from './describe-backend.ts';

describeBackend('wasm', () => new WasmBackend());
describeBackend('wasm, portable numerics', () => new WasmBackend({ numerics: 'portable' }));
describeBackend('wasm, not revectorized', () => new WasmBackend({ revectorize: 'off' }));
