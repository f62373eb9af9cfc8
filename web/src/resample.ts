/** Changes a sample rate: a windowed sinc (Kaiser, about 90 dB), first sample on first sample. */

const ZERO_CROSSINGS = 32;
const KAISER_BETA = 9;
const PASSBAND = 0.94; // of the lower Nyquist frequency

/** Returns a signal at another rate, cut or filled with zeros to `nOut` samples. */
export function resample(
  samples: Float32Array,
  fromHz: number,
  toHz: number,
  nOut: number,
): Float32Array {
  const out = new Float32Array(nOut);
  if (fromHz === toHz) {
    out.set(samples.subarray(0, nOut));
    return out;
  }
  const divisor = greatestCommonDivisor(fromHz, toHz);
  const [nPhases, advance] = [toHz / divisor, fromHz / divisor];
  const cutoff = PASSBAND * Math.min(1, toHz / fromHz);
  const reach = Math.ceil(ZERO_CROSSINGS / cutoff);
  const filters = new Map<number, Float64Array>();
  for (let i = 0; i < nOut; i++) {
    const position = i * advance;
    const phase = position % nPhases;
    let filter = filters.get(phase);
    if (filter === undefined) {
      filter = filterAt(phase / nPhases, cutoff, reach);
      filters.set(phase, filter);
    }
    const first = Math.floor(position / nPhases) - reach + 1;
    let sum = 0;
    const from = Math.max(0, -first);
    const to = Math.min(filter.length, samples.length - first);
    for (let j = from; j < to; j++) sum += filter[j]! * samples[first + j]!;
    out[i] = sum;
  }
  return out;
}

/** Returns the weights of the samples at 1 − reach … reach for a point `fraction` after sample 0. */
function filterAt(fraction: number, cutoff: number, reach: number): Float64Array {
  return Float64Array.from({ length: 2 * reach }, (_, j) => {
    const distance = j - reach + 1 - fraction;
    const place = distance / reach;
    const window = Math.abs(place) >= 1 ? 0 : bessel0(KAISER_BETA * Math.sqrt(1 - place * place));
    const x = Math.PI * cutoff * distance;
    return (cutoff * (x === 0 ? 1 : Math.sin(x) / x) * window) / bessel0(KAISER_BETA);
  });
}

/** Modified Bessel function of order 0, by its power series. */
export function bessel0(x: number): number {
  let [sum, term] = [1, 1];
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
