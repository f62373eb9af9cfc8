/** Short-time Fourier transform whose frame t is centred on hop t, and its inverse. */

import { Fft } from "./fft.js";

/** Complex [time][bin]. */
export interface Spectra {
  readonly re: Float32Array;
  readonly im: Float32Array;
}

/** A signal of n hops has exactly n frames. The window is a periodic Hann window. */
export class Spectrum {
  readonly nBins: number;
  private readonly margin: number;
  private readonly window: Float64Array;
  private readonly fft: Fft;

  constructor(
    private readonly nFft: number,
    readonly hop: number,
  ) {
    this.nBins = nFft / 2 + 1;
    this.margin = Math.floor((nFft - hop) / 2);
    this.window = Float64Array.from(
      { length: nFft },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / nFft),
    );
    this.fft = new Fft(nFft);
  }

  /** Returns the spectra of a signal of whole hops. Two frames go through each complex transform. */
  forward(samples: Float32Array): Spectra {
    const { nFft, nBins, hop, margin, window } = this;
    const nFrames = samples.length / hop;
    const re = new Float32Array(nFrames * nBins);
    const im = new Float32Array(nFrames * nBins);
    for (let t = 0; t < nFrames; t += 2) {
      const [a, b] = [new Float64Array(nFft), new Float64Array(nFft)];
      for (let i = 0; i < nFft; i++) {
        const at = t * hop - margin + i;
        a[i] = (samples[at] ?? 0) * window[i]!;
        b[i] = t + 1 < nFrames ? (samples[at + hop] ?? 0) * window[i]! : 0;
      }
      const [x, y] = this.fft.transform(a, b);
      for (let k = 0; k < nBins; k++) {
        const mirror = (nFft - k) % nFft;
        re[t * nBins + k] = (x[k]! + x[mirror]!) / 2;
        im[t * nBins + k] = (y[k]! - y[mirror]!) / 2;
        if (t + 1 < nFrames) {
          re[(t + 1) * nBins + k] = (y[k]! + y[mirror]!) / 2;
          im[(t + 1) * nBins + k] = (x[mirror]! - x[k]!) / 2;
        }
      }
    }
    return { re, im };
  }

  /** Returns the samples of spectra: windowed again, overlapped and added, the margins cut off. */
  inverse({ re, im }: Spectra): Float32Array {
    const { nFft, nBins, hop, margin, window } = this;
    const nFrames = re.length / nBins;
    const sums = new Float64Array(nFrames * hop + nFft - hop);
    const envelope = new Float64Array(sums.length);
    for (let t = 0; t < nFrames; t += 2) {
      const [first, second] = this.inversePair(re, im, t, nFrames);
      for (let i = 0; i < nFft; i++) {
        const w = window[i]!;
        sums[t * hop + i]! += (first[i]! * w) / nFft;
        envelope[t * hop + i]! += w * w;
        if (t + 1 < nFrames) {
          sums[(t + 1) * hop + i]! += (second[i]! * w) / nFft;
          envelope[(t + 1) * hop + i]! += w * w;
        }
      }
    }
    return Float32Array.from(
      { length: nFrames * hop },
      (_, i) => sums[margin + i]! / envelope[margin + i]!,
    );
  }

  /** Returns frames t and t + 1, times nFft: real and imaginary part of one inverse transform. */
  private inversePair(
    re: Float32Array,
    im: Float32Array,
    t: number,
    nFrames: number,
  ): [Float64Array, Float64Array] {
    const { nFft, nBins } = this;
    const [zRe, zIm] = [new Float64Array(nFft), new Float64Array(nFft)];
    for (let k = 0; k < nBins; k++) {
      const isReal = k === 0 || 2 * k === nFft;
      const at = t * nBins + k;
      const next = t + 1 < nFrames ? at + nBins : -1;
      const [a, b] = [re[at]!, isReal ? 0 : im[at]!];
      const [c, d] = next < 0 ? [0, 0] : [re[next]!, isReal ? 0 : im[next]!];
      zRe[k] = a - d;
      zIm[k] = b + c;
      if (!isReal) {
        zRe[nFft - k] = a + d;
        zIm[nFft - k] = c - b;
      }
    }
    const [imaginary, real] = this.fft.transform(zIm, zRe);
    return [real, imaginary];
  }
}
