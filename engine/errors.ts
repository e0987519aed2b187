/** Every error Quern throws on purpose. Bottom of the import order: anything may import this file.
 *
 * Callers match on `code` (stable across versions and across duplicated installs), or on the class. */

export type QuernErrorCode =
  | 'INVALID_ARGUMENT'
  | 'SHAPE'
  | 'UNSUPPORTED'
  | 'FORMAT'
  | 'FILE_ACCESS'
  | 'CONTEXT_LENGTH'
  | 'QUEUE_FULL'
  | 'REQUEST_TIMEOUT'
  | 'ABORTED'
  | 'WORKER_CRASHED'
  | 'ENGINE_CLOSED'
  | 'OUT_OF_MEMORY'
  | 'DEVICE_LOST'
  | 'DEVICE_ERROR'
  | 'NON_FINITE_LOGITS';

export type ErrorDetails = Readonly<Record<string, unknown>>;

/** Messages quote names and texts out of files and requests, which may be megabytes long; a log wants a line. */
const MAX_MESSAGE_LENGTH = 1000;
/** Of what is not supported, so that the reason still fits behind it. */
const MAX_NAME_LENGTH = 400;

const MARKER = Symbol.for('quern.error');

export class QuernError extends Error {
  readonly code: QuernErrorCode;
  /** The facts behind the message, for programs: names, numbers, never whole objects. */
  readonly details: ErrorDetails;

  constructor(code: QuernErrorCode, message: string, details: ErrorDetails = {}, options: { cause?: unknown } = {}) {
    super(cut(message, MAX_MESSAGE_LENGTH), options);
    this.name = new.target.name;
    this.code = code;
    this.details = details;
    Object.defineProperty(this, MARKER, { value: true });
  }

  /** True for any QuernError, also one thrown by another copy of this package. */
  static isInstance(value: unknown): value is QuernError {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[MARKER] === true;
  }
}

/** An option or argument that can never be valid, whatever the state. */
export class InvalidArgumentError extends QuernError {
  constructor(argument: string, message: string, details: ErrorDetails = {}) {
    super('INVALID_ARGUMENT', `${argument}: ${message}`, { argument, ...details });
  }
}

/** Shapes that do not fit together. */
export class ShapeError extends QuernError {
  constructor(op: string, expected: string, actual: string) {
    super('SHAPE', `${op}: expected ${expected}, got ${actual}`, { op, expected, actual });
  }
}

/** Something valid that this backend, format or build does not do. */
export class UnsupportedError extends QuernError {
  constructor(what: string, reason: string, details: ErrorDetails = {}) {
    super('UNSUPPORTED', `${cut(what, MAX_NAME_LENGTH)} is not supported: ${reason}`, { what, reason, ...details });
  }
}

/** A model file that is damaged, hostile or not what it says. */
export class FormatError extends QuernError {
  readonly file: string;
  /** Where in the file, in bytes from its start. */
  readonly byteOffset: number;
  /** The field being read, as the format's specification names it. */
  readonly field: string;

  constructor(
    where: { readonly file: string; readonly byteOffset: number; readonly field: string },
    problem: string,
    options: { cause?: unknown } = {},
  ) {
    const { file, byteOffset, field } = where;
    super('FORMAT', `${file}: ${field} at byte ${byteOffset}: ${problem}`, { file, byteOffset, field }, options);
    this.file = file;
    this.byteOffset = byteOffset;
    this.field = field;
  }
}

/** A file that cannot be opened, read or written: missing, a directory, no permission, no space. */
export class FileAccessError extends QuernError {
  readonly file: string;

  constructor(file: string, problem: string, options: { cause?: unknown } = {}) {
    super('FILE_ACCESS', `${file === '' ? "''" : file}: ${problem}`, { file }, options);
    this.file = file;
  }
}

/** A prompt, or a prompt plus what it may generate, longer than the model's context. */
export class ContextLengthError extends QuernError {
  constructor(numTokens: number, maxModelLen: number, advice: string) {
    super('CONTEXT_LENGTH', `${numTokens} tokens do not fit into a context of ${maxModelLen}: ${advice}`, {
      numTokens,
      maxModelLen,
    });
  }
}

/** The waiting queue is at its bound; try again later or elsewhere. */
export class QueueFullError extends QuernError {
  constructor(what: string, limit: number) {
    super('QUEUE_FULL', `queue is full: the limit of ${limit} ${what} is reached`, { what, limit });
  }
}

/** A request missed its deadline while queued or running. */
export class RequestTimeoutError extends QuernError {
  constructor(deadlineMs: number, state: string) {
    super('REQUEST_TIMEOUT', `request missed its deadline of ${deadlineMs} ms while ${state}`, { deadlineMs, state });
  }
}

/** The caller gave up (signal, break, cancel). `name` is 'AbortError', as the platform's own. */
export class AbortError extends QuernError {
  constructor(reason?: unknown) {
    super('ABORTED', 'the request was aborted', {}, reason === undefined ? {} : { cause: reason });
    this.name = 'AbortError';
  }
}

/** A worker thread died while it held the request. */
export class WorkerCrashedError extends QuernError {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super('WORKER_CRASHED', message, {}, options);
  }
}

/** The engine was closed before or during the call. */
export class EngineClosedError extends QuernError {
  constructor() {
    super('ENGINE_CLOSED', 'the engine is closed');
  }
}

/** Memory could not be had, or a stated budget does not suffice. */
export class OutOfMemoryError extends QuernError {
  constructor(what: string, bytes: number, advice: string, options: { cause?: unknown } = {}) {
    super('OUT_OF_MEMORY', `no memory for ${what} (${bytes} bytes): ${advice}`, { what, bytes }, options);
  }
}

/** The GPU is gone: its driver crashed or was reset, it was unplugged, or a kernel ran for too long. Everything that lay in
 * its memory is lost; load again, or on another backend. */
export class DeviceLostError extends QuernError {
  constructor(device: string, reason: string, options: { cause?: unknown } = {}) {
    super('DEVICE_LOST', `the GPU ${device} was lost: ${reason}`, { device, reason }, options);
  }
}

/** The GPU's driver refused a kernel or a command. A fault in Quern or in the driver; the step that met it fails. */
export class DeviceError extends QuernError {
  constructor(what: string, reason: string, options: { cause?: unknown } = {}) {
    super('DEVICE_ERROR', `the GPU refused ${what}: ${reason}`, { what, reason }, options);
  }
}

/** No token can be chosen: the model's logits are all NaN or -Infinity, or everything it offered was banned. */
export class NonFiniteLogitsError extends QuernError {
  constructor(reason: string, details: ErrorDetails = {}) {
    super('NON_FINITE_LOGITS', `no token can be chosen: ${reason}`, details);
  }
}

function cut(text: string, maxLength: number): string {
  return text.length > maxLength ? `${text.slice(0, maxLength)}...` : text;
}
