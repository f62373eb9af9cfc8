/** Latents from symbols and back (section 10, points 1 and 2). */

import { MAX_SYMBOL, MIN_SYMBOL } from "./payload.js";

const STEP_INDEXES_PER_OCTAVE = 8;

/** Returns the step of every dimension, binary32. */
export function steps(
  baseStep: Float64Array,
  stepIndex: number,
  stepOffsets: Int8Array | null,
): Float32Array {
  return Float32Array.from(
    baseStep,
    (base, d) => base * 2 ** ((stepIndex + (stepOffsets?.[d] ?? 0)) / STEP_INDEXES_PER_OCTAVE),
  );
}

/** Returns the latent of symbols, both [frame][dimension]; the products are binary32. */
export function toLatent(symbols: Int16Array, step: Float32Array): Float32Array {
  return Float32Array.from(symbols, (symbol, i) => symbol * step[i % step.length]!);
}

/** Returns the symbols nearest to a latent, both [frame][dimension]. */
export function toSymbols(latent: Float32Array, step: Float32Array): Int16Array {
  return Int16Array.from(latent, (y, i) =>
    Math.min(MAX_SYMBOL, Math.max(MIN_SYMBOL, Math.round(y / step[i % step.length]!))),
  );
}
