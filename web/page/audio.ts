/** Reads audio files at their own sample rate; browsers would give them the sound card's. */

const DEFAULT_RATE_HZ = 48000;
const MPEG_RATES_HZ = [44100, 48000, 32000];
const LOOK_BYTES = 1 << 16;

export interface Audio {
  readonly channels: Float32Array[];
  readonly sampleRateHz: number;
}

/** Throws a DOMException for what the browser does not read. Takes the buffer. */
export async function readAudio(bytes: Uint8Array<ArrayBuffer>): Promise<Audio> {
  const audio = await contextAt(sampleRateOf(bytes)).decodeAudioData(bytes.buffer);
  const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
  return { channels, sampleRateHz: audio.sampleRate };
}

function contextAt(rateHz: number): OfflineAudioContext {
  try {
    return new OfflineAudioContext(1, 1, rateHz);
  } catch {
    return new OfflineAudioContext(1, 1, DEFAULT_RATE_HZ); // a rate that this browser lacks
  }
}

/** Returns the rate that WAV, FLAC, Vorbis and MP3 files declare; others are read at 48 kHz. */
export function sampleRateOf(bytes: Uint8Array): number {
  const start = bytes.subarray(0, LOOK_BYTES);
  const text = new TextDecoder("latin1").decode(start);
  const view = new DataView(start.buffer, start.byteOffset, start.length);
  const u32 = (at: number): number => (at + 4 <= view.byteLength ? view.getUint32(at, true) : 0);
  let rateHz: number | undefined = 0;
  if (/^(RIFF|RF64)/.test(text)) rateHz = u32(text.indexOf("fmt ") + 12);
  else if (text.startsWith("fLaC")) rateHz = view.getUint32(18) >>> 12;
  else if (text.startsWith("OggS")) rateHz = text.includes("\x01vorbis") ? u32(text.indexOf("\x01vorbis") + 12) : 0;
  else rateHz = mpegRateOf(bytes);
  return rateHz || DEFAULT_RATE_HZ;
}

function mpegRateOf(bytes: Uint8Array): number {
  const isTagged = bytes[0] === 0x49 && bytes[1] === 0x44 && bytes[2] === 0x33; // "ID3"
  const at = isTagged ? 10 + bytes.subarray(6, 10).reduce((size, byte) => size * 128 + byte, 0) : 0;
  const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
  if (first !== 0xff || second < 0xe0) return 0;
  const divisor = [4, 0, 2, 1][(second >> 3) & 3]!; // MPEG 2.5, reserved, 2, 1
  const rateHz = MPEG_RATES_HZ[(third >> 2) & 3];
  return divisor && rateHz ? rateHz / divisor : 0;
}
