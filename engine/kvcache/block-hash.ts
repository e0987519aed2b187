/** What a full KV block contains, as a number. Keys and values depend on every token before them, so a block's hash
 * covers its own tokens and, through its parent's hash, all earlier ones:
 *
 *   root = hash(modelFingerprint, cacheSalt)
 *   h0   = hash(root, tokens 0..BS)     h1 = hash(h0, tokens BS..2BS)     h2 = hash(h1, ...)
 *
 * The hash only finds candidates; `PrefixCache` then compares the tokens. A collision therefore costs a comparison and
 * never a wrong answer, and the hash need not resist an attacker. */

/** A whole number below 2^53: what a JS number holds exactly, so that it can be a Map key without a string. */
export type BlockHash = number;

const HIGH_LANE_BITS = 21;

/** One lane's step. Source: Appleby, MurmurHash3 (public domain), the x86_32 body with one constant per lane. */
function mix(lane: number, word: number, factor: number): number {
  const mixed = Math.imul(lane ^ word, factor);
  return Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0x6b64e654;
}

/** Spreads every input bit over the lane. Source: MurmurHash3, fmix32. */
function finish(lane: number): number {
  let h = lane ^ (lane >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function combine(low: number, high: number): BlockHash {
  return (finish(high) >>> (32 - HIGH_LANE_BITS)) * 2 ** 32 + finish(low);
}

/** The hash of the tokens `tokenIds[start]` to `tokenIds[end - 1]` after everything that `parent` stands for. */
export function hashBlock(parent: BlockHash, tokenIds: Int32Array, start: number, end: number): BlockHash {
  // Two 32-bit lanes with constants of their own: Math.imul is the only fast exact multiplication JS has.
  let low = parent | 0;
  let high = Math.floor(parent / 2 ** 32) | 0;
  for (let i = start; i < end; i++) {
    const word = tokenIds[i]!;
    low = mix(low, word, 0xcc9e2d51);
    high = mix(high, word ^ low, 0x1b873593);
  }
  return combine(low, high ^ (end - start));
}

/** The parent of every first block under one model and one salt.
 * @param modelFingerprint  what the keys and values depend on besides the tokens: weights, config, KV dtype
 * @param cacheSalt         separates tenants: requests share blocks only under equal salts */
export function hashRoot(modelFingerprint: string, cacheSalt: string): BlockHash {
  // The fingerprint's length keeps ("ab", "c") and ("a", "bc") apart.
  const text = `${modelFingerprint.length}:${modelFingerprint}${cacheSalt}`;
  const codeUnits = Int32Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return hashBlock(0, codeUnits, 0, codeUnits.length);
}
