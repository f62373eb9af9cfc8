/** WAV files of 16 bits. */

/** Returns a WAV file, and how many samples beyond ±1 were clipped. */
export function wavFile(
  channels: readonly Float32Array[],
  sampleRateHz: number,
): { blob: Blob; nClipped: number } {
  const nChannels = channels.length;
  const nSamples = channels[0]!.length;
  const nBytes = 2 * nChannels * nSamples;
  const view = new DataView(new ArrayBuffer(44 + nBytes));
  const text = (at: number, ascii: string): void => {
    for (let i = 0; i < ascii.length; i++) view.setUint8(at + i, ascii.charCodeAt(i));
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + nBytes, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, nChannels, true);
  view.setUint32(24, sampleRateHz, true);
  view.setUint32(28, 2 * nChannels * sampleRateHz, true);
  view.setUint16(32, 2 * nChannels, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, nBytes, true);
  let nClipped = 0;
  for (let i = 0; i < nSamples; i++) {
    channels.forEach((channel, c) => {
      const value = Math.round(channel[i]! * 32768);
      const clipped = Math.max(-32768, Math.min(32767, value));
      if (Math.abs(channel[i]!) > 1) nClipped++;
      view.setInt16(44 + 2 * (i * nChannels + c), clipped, true);
    });
  }
  return { blob: new Blob([view.buffer], { type: "audio/wav" }), nClipped };
}
