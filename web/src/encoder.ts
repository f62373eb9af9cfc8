/** Samples to files. */

import { CHUNK_FRAMES, FRAME_RATE_HZ, pack, type Chunk, type Header } from "./container.js";
import { gainFor, linearGain } from "./dsp.js";
import type { Model } from "./model.js";
import { steps, toSymbols } from "./quantize.js";
import { resample } from "./resample.js";
import { withoutRumble } from "./rumble.js";
import { Analysis, CORE_FRAMES, type Progress, type Trunk } from "./transforms.js";

export interface LatentsOptions {
  /** Codes every channel; otherwise their mean. */
  readonly keepChannels?: boolean;
  readonly progress?: Progress;
}

export interface EncodeOptions extends LatentsOptions {
  /** −64 … 64; the model's default where it is left out. Eight more halve the resolution. */
  readonly stepIndex?: number;
}

/** What the analysis makes of a recording: all that `Encoder.code` needs, at any step index. */
export interface Latents {
  /** [frame][dimension], one per channel, before quantisation. */
  readonly channels: readonly Float32Array[];
  readonly gainHalfDb: number;
  /** Of the recording, per channel, at its own rate. */
  readonly nSamples: number;
  readonly sampleRateHz: number;
}

/** A model with its analysis network. */
export class Encoder {
  private readonly analysis: Analysis;

  constructor(
    readonly model: Model,
    analysis: Trunk,
  ) {
    this.analysis = new Analysis(analysis, model.info.config);
  }

  /**
   * Returns the .hzc file of a recording, full scale ±1, one array per channel.
   *
   * Throws RangeError for no samples, or a value or rate that a file cannot hold.
   */
  async encode(
    channels: readonly Float32Array[],
    sampleRateHz: number,
    { stepIndex, ...options }: EncodeOptions = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    return this.code(await this.latents(channels, sampleRateHz, options), stepIndex);
  }

  /** Does the first half of `encode`: the network. Throws as `encode`. */
  async latents(
    channels: readonly Float32Array[],
    sampleRateHz: number,
    { keepChannels = false, progress }: LatentsOptions = {},
  ): Promise<Latents> {
    const nSamples = channels[0]?.length ?? 0;
    if (nSamples === 0) throw new RangeError("the recording has no samples");
    if (!channels.every((channel) => channel.every(Number.isFinite))) {
      throw new RangeError("a sample is NaN or infinite");
    }
    const kept = withoutRumble(keepChannels ? channels : [meanOf(channels)], sampleRateHz);
    const nFrames = Math.ceil((nSamples * FRAME_RATE_HZ) / sampleRateHz);
    const gainHalfDb = gainFor(kept, sampleRateHz);
    const latents: Float32Array[] = [];
    for (const [i, channel] of kept.entries()) {
      const report: Progress = (done, all) => progress?.(i * all + done, kept.length * all);
      latents.push(await this.analysed(channel, sampleRateHz, gainHalfDb, nFrames, report));
    }
    return { channels: latents, gainHalfDb, nSamples, sampleRateHz };
  }

  /** Does the second half of `encode`: symbols and bytes. */
  async code(
    latents: Latents,
    stepIndex = this.model.info.defaultStepIndex,
    progress?: Progress,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { channels, gainHalfDb, nSamples, sampleRateHz } = latents;
    const { nLatent } = this.model.info.config;
    const chunkLength = CHUNK_FRAMES * nLatent;
    const step = steps(this.model.baseStep, stepIndex, null);
    const chunks: Chunk[] = [];
    for (let first = 0; first < channels[0]!.length; first += chunkLength) {
      const symbols = channels.map((latent) => toSymbols(latent.subarray(first, first + chunkLength), step));
      chunks.push(this.model.encode(stepIndex, gainHalfDb, symbols));
      await progress?.(first / nLatent / FRAME_RATE_HZ, channels[0]!.length / nLatent / FRAME_RATE_HZ);
    }
    const header: Header = {
      isStreamed: false, modelId: this.model.info.modelId, fingerprint: this.model.prior.fingerprint,
      sampleRateHz, nChannels: channels.length, stepIndex, nLatent, stepOffsets: null,
    };
    return pack({ header, chunks, nSamples });
  }

  /** Returns the latent [frame][dimension] of one channel. */
  private async analysed(
    samples: Float32Array,
    sampleRateHz: number,
    gainHalfDb: number,
    nFrames: number,
    progress: Progress,
  ): Promise<Float32Array> {
    const { hopLength, contextFrames } = this.analysis;
    const { sampleRateHz: modelHz, nLatent } = this.model.info.config;
    const gain = linearGain(gainHalfDb);
    const whole = resample(samples, sampleRateHz, modelHz, nFrames * hopLength).map((x) => x * gain);
    const latent = new Float32Array(nFrames * nLatent);
    for (let first = 0; first < nFrames; first += CORE_FRAMES) {
      const end = Math.min(nFrames, first + CORE_FRAMES);
      const from = Math.max(0, first - contextFrames);
      const to = Math.min(nFrames, end + contextFrames);
      const window = await this.analysis.run(whole.subarray(from * hopLength, to * hopLength));
      latent.set(window.subarray((first - from) * nLatent, (end - from) * nLatent), first * nLatent);
      await progress(end / FRAME_RATE_HZ, nFrames / FRAME_RATE_HZ);
    }
    return latent;
  }
}

function meanOf(channels: readonly Float32Array[]): Float32Array {
  if (channels.length === 1) return channels[0]!;
  return channels[0]!.map((_, i) => channels.reduce((sum, c) => sum + c[i]!, 0) / channels.length);
}
