/** Byte-level BPE (GPT-2 and most models since): the first symbols of a piece are its UTF-8 bytes, so 256 tokens suffice
 * to spell any text and nothing is ever unknown. Owns piece to ids. Must not know how text was cut into pieces. */
import { BpeMerger, type MergeRules } from './bpe-merger.ts';
import { BYTE_TO_CHAR } from './byte-alphabet.ts';
import { PieceCache } from './piece-cache.ts';
import type { PieceModel } from './piece-model.ts';

/** UTF-16 code units; a longer piece gets buffers of its own. */
const KEPT_LENGTH = 1024;
/** UTF-8 needs at most this many bytes for one UTF-16 code unit. */
const MAX_BYTES_PER_UNIT = 3;

export interface ByteLevelOptions {
  /** Text (in the byte alphabet) to id of all tokens that merging may produce. */
  readonly idByText: ReadonlyMap<string, number>;
  readonly rules: MergeRules;
  /** Take a piece that is a token as a whole, even where merging would not arrive at it. */
  readonly ignoreMerges: boolean;
  /** For bytes that have no token; without it they are dropped. */
  readonly unknownId: number | undefined;
}

export class ByteLevelModel implements PieceModel {
  readonly #idByText: ReadonlyMap<string, number>;
  readonly #ignoreMerges: boolean;
  readonly #byteIds: Int32Array;
  readonly #merger: BpeMerger;
  readonly #cache = new PieceCache();
  readonly #encoder = new TextEncoder();
  readonly #keptBytes = new Uint8Array(KEPT_LENGTH * MAX_BYTES_PER_UNIT);
  readonly #keptSymbols = new Int32Array(KEPT_LENGTH * MAX_BYTES_PER_UNIT);

  constructor(options: ByteLevelOptions) {
    const missing = options.unknownId ?? -1;
    this.#idByText = options.idByText;
    this.#ignoreMerges = options.ignoreMerges;
    this.#byteIds = Int32Array.from(BYTE_TO_CHAR, (char) => options.idByText.get(char) ?? missing);
    this.#merger = new BpeMerger(options.rules);
  }

  encodePiece(piece: string, out: number[]): void {
    if (this.#cache.append(piece, out)) return;
    const start = out.length;
    const isShort = piece.length <= KEPT_LENGTH;
    const bytes = isShort ? this.#keptBytes : new Uint8Array(piece.length * MAX_BYTES_PER_UNIT);
    const numBytes = this.#encoder.encodeInto(piece, bytes).written;
    const whole = this.#ignoreMerges ? this.#wholeId(bytes, numBytes) : undefined;
    if (whole !== undefined) out.push(whole);
    else this.#mergeBytes(bytes, numBytes, out);
    this.#cache.remember(piece, out, start);
  }

  #mergeBytes(bytes: Uint8Array, numBytes: number, out: number[]): void {
    const symbols = numBytes <= this.#keptSymbols.length ? this.#keptSymbols : new Int32Array(numBytes);
    for (let i = 0; i < numBytes; i++) symbols[i] = this.#byteIds[bytes[i]!]!;
    const count = this.#merger.merge(symbols, numBytes);
    for (let i = 0; i < count; i++) if (symbols[i]! >= 0) out.push(symbols[i]!);
  }

  #wholeId(bytes: Uint8Array, numBytes: number): number | undefined {
    let text = '';
    for (let i = 0; i < numBytes; i++) text += BYTE_TO_CHAR[bytes[i]!]!;
    return this.#idByText.get(text);
  }
}
