import { WasmBackend } from '../../engine/kernels/wasm/wasm-backend.ts';
import { describeBackend } from './describe-backend.ts';

describeBackend('wasm', () => new WasmBackend());
