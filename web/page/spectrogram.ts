/** A spectrogram of fixed size: columns that lie evenly over a recording, whatever its length. */

import { Fft } from "../src/fft.js";

export const N_COLUMNS = 1200;
export const N_ROWS = 128;

const N_FFT = 512;
/** Spectra that one column is the mean of, at most. */
const MAX_SPECTRA = 4;
const FLOOR_DB = -95;
const RANGE_DB = 75;

const fft = new Fft(N_FFT);
const hann = Float64Array.from({ length: N_FFT }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / N_FFT));

/** Returns the first column whose beginning is at or after a sample. */
export function columnAt(sample: number, nSamples: number): number {
  return Math.ceil((sample * N_COLUMNS) / nSamples);
}

/**
 * Returns columns first … end − 1, [column][row], 0 … 255 for levels, low frequencies first.
 *
 * @param part a stretch of the recording that starts at sample `from`
 */
export function columnsOf(
  part: Float32Array,
  from: number,
  nSamples: number,
  first: number,
  end: number,
): Uint8Array {
  const columns = new Uint8Array((end - first) * N_ROWS);
  const perColumn = nSamples / N_COLUMNS;
  const nSpectra = Math.max(1, Math.min(MAX_SPECTRA, Math.round((2 * perColumn) / N_FFT)));
  for (let column = first; column < end; column++) {
    const powers = new Float64Array(N_ROWS);
    for (let i = 0; i < nSpectra; i++) {
      const centre = (column + (i + 0.5) / nSpectra) * perColumn - from;
      addPowers(part, Math.round(centre) - N_FFT / 2, powers);
    }
    powers.forEach((power, row) => {
      const db = 10 * Math.log10(power / nSpectra + 1e-20);
      columns[(column - first) * N_ROWS + row] = Math.max(0, Math.min(255, (255 * (db - FLOOR_DB)) / RANGE_DB));
    });
  }
  return columns;
}

/** Adds the powers of one spectrum; a full-scale sine has 0 dB. Moves it into the stretch. */
function addPowers(part: Float32Array, wanted: number, powers: Float64Array): void {
  const start = Math.max(0, Math.min(part.length - N_FFT, wanted));
  const re = hann.map((w, i) => w * (part[start + i] ?? 0));
  const [x, y] = fft.transform(re, new Float64Array(N_FFT));
  const perRow = N_FFT / 2 / N_ROWS;
  for (let k = 0; k < N_FFT / 2; k++) {
    powers[Math.floor(k / perRow)]! += (x[k]! ** 2 + y[k]! ** 2) / perRow / (N_FFT / 4) ** 2;
  }
}
