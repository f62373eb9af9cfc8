/** Draws the waveform of a recording, with the place that is heard. */

export function drawWaveform(
  canvas: HTMLCanvasElement,
  channels: readonly Float32Array[],
  position: number,
): void {
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const pen = canvas.getContext("2d")!;
  const colours = getComputedStyle(canvas);
  const [samples] = channels as [Float32Array];
  const perColumn = samples.length / canvas.width;
  const stride = Math.max(1, Math.floor(perColumn / 64));
  const heard = position / perColumn;
  for (let x = 0; x < canvas.width; x++) {
    let [low, high] = [0, 0];
    for (let i = Math.floor(x * perColumn); i < (x + 1) * perColumn; i += stride) {
      const sample = samples[i] ?? 0;
      if (sample < low) low = sample;
      if (sample > high) high = sample;
    }
    pen.fillStyle = colours.getPropertyValue(x < heard ? "--accent" : "--ahead");
    const top = ((1 - Math.min(1, high)) / 2) * canvas.height;
    const bottom = ((1 - Math.max(-1, low)) / 2) * canvas.height;
    pen.fillRect(x, top, 1, Math.max(1, bottom - top));
  }
}
