/** Files to samples. */

import { FRAME_RATE_HZ, countFrames, unpack, type Chunk, type Header, type HzcFile } from "./container.js";
import { linearGain } from "./dsp.js";
import type { Model } from "./model.js";
import { steps, toLatent } from "./quantize.js";
import { resample } from "./resample.js";
import { CORE_FRAMES, Synthesis, type Progress, type Trunk } from "./transforms.js";

/** An opened file, any stretch of which can be decoded. */
export class OpenFile {
  readonly file: HzcFile;
  /** Rate of the samples that `samples` gives: the model's. */
  readonly sampleRateHz: number;
  readonly nFrames: number;
  /** Samples per channel at that rate. */
  readonly nSamples: number;
  private readonly step: Float32Array;
  private readonly latents = new Map<Chunk, Float32Array[]>();

  /** Throws the HzcError of section 11 where the file is damaged or of another model. */
  constructor(
    bytes: Uint8Array,
    private readonly model: Model,
    private readonly synthesis: Synthesis,
  ) {
    this.file = unpack(bytes);
    const { header, chunks, nSamples } = this.file;
    model.check(header);
    this.sampleRateHz = model.info.config.sampleRateHz;
    this.nFrames = countFrames(chunks);
    this.nSamples = Math.ceil((nSamples * this.sampleRateHz) / header.sampleRateHz);
    this.step = steps(model.baseStep, header.stepIndex, header.stepOffsets);
  }

  /**
   * Returns the samples of frames first … end − 1, one array per channel; the last frame is cut
   * where the recording ends. Every stretch is equal to that of the whole file.
   *
   * Throws CorruptError where a payload is no coded stream.
   */
  async samples(first: number, end: number): Promise<Float32Array[]> {
    const { hopLength, contextFrames } = this.synthesis;
    const from = Math.max(0, first - contextFrames);
    const to = Math.min(this.nFrames, end + contextFrames);
    const nWanted = Math.min(end * hopLength, this.nSamples) - first * hopLength;
    const channels: Float32Array[] = [];
    for (let channel = 0; channel < this.file.header.nChannels; channel++) {
      const window = await this.synthesis.run(this.latent(channel, from, to), this.file.header.stepIndex);
      const start = (first - from) * hopLength;
      const samples = window.slice(start, start + nWanted);
      this.removeGain(samples, first);
      channels.push(samples);
    }
    return channels;
  }

  /** Returns the latent [frame][dimension] of frames from … to − 1. */
  private latent(channel: number, from: number, to: number): Float32Array {
    const { nLatent } = this.file.header;
    const latent = new Float32Array((to - from) * nLatent);
    for (const { chunk, start } of this.chunksIn(from, to)) {
      const known = this.latents.get(chunk) ?? this.decode(chunk);
      const skipped = Math.max(0, from - start);
      const part = known[channel]!.subarray(skipped * nLatent, (to - start) * nLatent);
      latent.set(part, (start + skipped - from) * nLatent);
    }
    return latent;
  }

  private decode(chunk: Chunk): Float32Array[] {
    const symbols = this.model.decode(this.file.header, chunk);
    const latents = symbols.map((channel) => toLatent(channel, this.step));
    this.latents.set(chunk, latents);
    return latents;
  }

  private removeGain(samples: Float32Array, first: number): void {
    const { hopLength } = this.synthesis;
    const end = first + Math.ceil(samples.length / hopLength);
    for (const { chunk, start } of this.chunksIn(first, end)) {
      const factor = 1 / linearGain(chunk.gainHalfDb);
      const begin = Math.max(0, (start - first) * hopLength);
      const part = samples.subarray(begin, (start + chunk.nFrames - first) * hopLength);
      for (let i = 0; i < part.length; i++) part[i]! *= factor;
    }
  }

  private *chunksIn(from: number, to: number): Generator<{ chunk: Chunk; start: number }> {
    let start = 0;
    for (const chunk of this.file.chunks) {
      if (start < to && start + chunk.nFrames > from) yield { chunk, start };
      start += chunk.nFrames;
    }
  }
}

export interface Decoded {
  /** One array per channel, full scale ±1, not clipped. */
  readonly channels: Float32Array[];
  readonly sampleRateHz: number;
  readonly header: Header;
}

export interface DecodeOptions {
  /** Of the result; the original's where it is left out. */
  readonly sampleRateHz?: number;
  readonly progress?: Progress;
}

/** A model with its synthesis network. */
export class Decoder {
  private readonly synthesis: Synthesis;

  constructor(
    readonly model: Model,
    synthesis: Trunk,
  ) {
    this.synthesis = new Synthesis(synthesis, model.info.config);
  }

  /** Opens a file. Throws the HzcError of section 11. */
  open(bytes: Uint8Array): OpenFile {
    return new OpenFile(bytes, this.model, this.synthesis);
  }

  /** Returns all samples of a file. Throws the HzcError of section 11. */
  async decode(bytes: Uint8Array, { sampleRateHz, progress }: DecodeOptions = {}): Promise<Decoded> {
    const opened = this.open(bytes);
    const { header, nSamples } = opened.file;
    const channels = Array.from({ length: header.nChannels }, () => new Float32Array(opened.nSamples));
    for (let first = 0; first < opened.nFrames; first += CORE_FRAMES) {
      const end = Math.min(opened.nFrames, first + CORE_FRAMES);
      const parts = await opened.samples(first, end);
      parts.forEach((part, i) => channels[i]!.set(part, first * this.synthesis.hopLength));
      await progress?.(end / FRAME_RATE_HZ, opened.nFrames / FRAME_RATE_HZ);
    }
    const rateHz = sampleRateHz ?? header.sampleRateHz;
    const nOut = Math.ceil((nSamples * rateHz) / header.sampleRateHz);
    return {
      channels: channels.map((samples) => resample(samples, opened.sampleRateHz, rateHz, nOut)),
      sampleRateHz: rateHz,
      header,
    };
  }
}
