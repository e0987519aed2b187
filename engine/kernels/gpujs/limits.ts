/** How far numbers go in a compiled kernel. */

/** All whole numbers up to here are exact in an f32, which is what gpu.js makes of most variables. Beyond, 16777217 is
 * 16777216, and an index is another element's: nothing that a kernel counts or indexes with may be larger. Also the most
 * rounds that its loops make, whatever their bounds say. */
export const MAX_EXACT_INTEGER = 2 ** 24;

/** Threads of a workgroup, all along x. */
export const WORKGROUP_SIZE = 64;

/** Floor(a / b) of whole numbers is computed as floor((a + 0.5) / b), which is right while the error of the division, some
 * 2.5 units in the last place (WGSL, section 15.7.4), is less than 0.5 / b: for a up to 1.6 million. */
export const MAX_DIVIDEND = 2 ** 20;
