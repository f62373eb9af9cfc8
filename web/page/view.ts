/** Waveform and spectrogram of a recording, with the place that is heard. */

import { N_COLUMNS, N_ROWS } from "./spectrogram.js";

/** Colours of levels, from low to high. */
const COLOURS = [[0, 0, 4], [66, 15, 110], [150, 40, 122], [226, 82, 93], [252, 166, 83], [252, 253, 191]];
/** A recording that is quieter is drawn as if it reached this. */
const MIN_SCALE = 0.1;

export class View {
  private readonly lows = new Float32Array(N_COLUMNS);
  private readonly highs = new Float32Array(N_COLUMNS);
  private readonly picture = new OffscreenCanvas(N_COLUMNS, N_ROWS);
  private nSamples = 1;

  constructor(
    private readonly box: HTMLElement,
    private readonly waveform: HTMLCanvasElement,
    private readonly spectrogram: HTMLCanvasElement,
    private readonly playhead: HTMLElement,
    onSeek: (share: number) => void,
  ) {
    new ResizeObserver(() => this.draw()).observe(box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    const seek = ({ clientX }: PointerEvent): void => {
      const { left, width } = box.getBoundingClientRect();
      onSeek(Math.max(0, Math.min(1, (clientX - left) / width)));
    };
    box.onpointerdown = (event) => {
      if (event.button !== 0) return;
      box.setPointerCapture(event.pointerId);
      seek(event);
    };
    box.onpointermove = (event) => box.hasPointerCapture(event.pointerId) && seek(event);
  }

  /** Empties the view for a recording of some samples per channel. */
  start(nSamples: number): void {
    this.nSamples = nSamples;
    this.lows.fill(0);
    this.highs.fill(0);
    this.picture.getContext("2d")!.clearRect(0, 0, N_COLUMNS, N_ROWS);
    this.move(0);
    this.draw();
  }

  /** Takes a stretch of samples, and the columns of its spectrogram. */
  put(first: number, samples: Float32Array, firstColumn: number, columns: Uint8Array): void {
    samples.forEach((sample, i) => {
      const column = Math.floor(((first + i) * N_COLUMNS) / this.nSamples);
      if (sample < this.lows[column]!) this.lows[column] = sample;
      if (sample > this.highs[column]!) this.highs[column] = sample;
    });
    if (columns.length > 0) this.paint(firstColumn, columns);
    this.draw();
  }

  /** Shows which share of the recording has been heard. */
  move(share: number): void {
    this.playhead.style.left = `${100 * share}%`;
  }

  private paint(firstColumn: number, columns: Uint8Array): void {
    const n = columns.length / N_ROWS;
    const image = new ImageData(n, N_ROWS);
    columns.forEach((level, i) => {
      const [column, row] = [Math.floor(i / N_ROWS), i % N_ROWS];
      image.data.set(colourOf(level / 255), 4 * ((N_ROWS - 1 - row) * n + column));
    });
    this.picture.getContext("2d")!.putImageData(image, firstColumn, 0);
  }

  private draw(): void {
    if (this.box.clientWidth === 0) return;
    const { pen, width, height } = fitted(this.spectrogram);
    pen.drawImage(this.picture, 0, 0, width, height);
    this.drawWaveform();
  }

  private drawWaveform(): void {
    const { pen, width, height } = fitted(this.waveform);
    pen.fillStyle = getComputedStyle(this.box).getPropertyValue("--accent");
    const peak = Math.max(MIN_SCALE, ...this.highs, ...this.lows.map((low) => -low));
    const scale = (0.95 * height) / 2 / peak;
    for (let x = 0; x < width; x++) {
      const from = Math.floor((x * N_COLUMNS) / width);
      const to = Math.max(from + 1, Math.floor(((x + 1) * N_COLUMNS) / width));
      let [low, high] = [0, 0];
      for (let column = from; column < to; column++) {
        low = Math.min(low, this.lows[column]!);
        high = Math.max(high, this.highs[column]!);
      }
      pen.fillRect(x, height / 2 - high * scale, 1, Math.max(1, (high - low) * scale));
    }
  }
}

/** Gives a canvas as many pixels as the screen shows, all empty. */
function fitted(canvas: HTMLCanvasElement): {
  pen: CanvasRenderingContext2D;
  width: number;
  height: number;
} {
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  return { pen: canvas.getContext("2d")!, width: canvas.width, height: canvas.height };
}

function colourOf(level: number): [number, number, number, number] {
  const place = level * (COLOURS.length - 1);
  const i = Math.min(COLOURS.length - 2, Math.floor(place));
  const [a, b] = [COLOURS[i]!, COLOURS[i + 1]!];
  const mix = (c: number): number => a[c]! + (b[c]! - a[c]!) * (place - i);
  return [mix(0), mix(1), mix(2), 255];
}
