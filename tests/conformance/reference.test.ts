/** The reference against itself: the suite runs, its cases are valid calls, and law 2 holds for the specification. */
import { ReferenceBackend } from '../../engine/kernels/reference/reference-backend.ts';
import { describeBackend } from './describe-backend.ts';

describeBackend('reference', () => new ReferenceBackend(), { exact: true });
