/** Whole files: bytes to samples, and samples to bytes. */

import {
  CHUNK_FRAMES, FRAME_RATE_HZ, countFrames, pack, unpack, type Chunk, type Header, type HzcFile,
} from "./container.js";
import { gainFor, linearGain } from "./dsp.js";
import type { Model } from "./model.js";
import { steps, toLatent, toSymbols } from "./quantize.js";
import { resample } from "./resample.js";
import { Analysis, Synthesis, type Trunk } from "./transforms.js";

/** Frames that one window of a transform gives. */
const CORE_FRAMES = 2 * CHUNK_FRAMES;

/** Called with the seconds done and the seconds in all. */
export type Progress = (doneS: number, allS: number) => void;

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
      const window = await this.synthesis.run(this.latent(channel, from, to));
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

export interface EncodeOptions {
  /** −64 … 64; the model's default where it is left out. Eight more halve the resolution. */
  readonly stepIndex?: number;
  /** Codes every channel; otherwise their mean. */
  readonly keepChannels?: boolean;
  readonly progress?: Progress;
}

/** A model and its networks. */
export class Codec {
  private readonly synthesis: Synthesis;
  private readonly analysis: Analysis | null;

  /** @param analysis not needed for decoding */
  constructor(
    readonly model: Model,
    synthesis: Trunk,
    analysis: Trunk | null = null,
  ) {
    this.synthesis = new Synthesis(synthesis, model.info.config);
    this.analysis = analysis && new Analysis(analysis, model.info.config);
  }

  /** Opens a file. Throws the HzcError of section 11. */
  open(bytes: Uint8Array): OpenFile {
    return new OpenFile(bytes, this.model, this.synthesis);
  }

  /** Returns all samples of a file, at the original's rate unless another is given. */
  async decode(bytes: Uint8Array, sampleRateHz?: number, progress?: Progress): Promise<Decoded> {
    const opened = this.open(bytes);
    const { header, nSamples } = opened.file;
    const channels = Array.from({ length: header.nChannels }, () => new Float32Array(opened.nSamples));
    for (let first = 0; first < opened.nFrames; first += CORE_FRAMES) {
      const end = Math.min(opened.nFrames, first + CORE_FRAMES);
      const parts = await opened.samples(first, end);
      parts.forEach((part, i) => channels[i]!.set(part, first * this.synthesis.hopLength));
      progress?.(end / FRAME_RATE_HZ, opened.nFrames / FRAME_RATE_HZ);
    }
    const rateHz = sampleRateHz ?? header.sampleRateHz;
    const nOut = Math.ceil((nSamples * rateHz) / header.sampleRateHz);
    return {
      channels: channels.map((samples) => resample(samples, opened.sampleRateHz, rateHz, nOut)),
      sampleRateHz: rateHz,
      header,
    };
  }

  /**
   * Returns the .hzc file of a recording, full scale ±1.
   *
   * Throws RangeError for no samples, or a value or rate that a file cannot hold.
   */
  async encode(
    channels: readonly Float32Array[],
    sampleRateHz: number,
    { stepIndex = this.model.info.defaultStepIndex, keepChannels = false, progress }: EncodeOptions = {},
  ): Promise<Uint8Array> {
    const nSamples = channels[0]?.length ?? 0;
    if (nSamples === 0) throw new RangeError("the recording has no samples");
    if (!channels.every((channel) => channel.every(Number.isFinite))) {
      throw new RangeError("a sample is NaN or infinite");
    }
    const kept = keepChannels ? channels : [meanOf(channels)];
    const nFrames = Math.ceil((nSamples * FRAME_RATE_HZ) / sampleRateHz);
    const gainHalfDb = gainFor(kept, sampleRateHz);
    const latents: Float32Array[] = [];
    for (const channel of kept) {
      latents.push(await this.analysed(channel, sampleRateHz, gainHalfDb, nFrames, progress));
    }
    const { nLatent } = this.model.info.config;
    const step = steps(this.model.baseStep, stepIndex, null);
    const chunks: Chunk[] = [];
    for (let first = 0; first < nFrames; first += CHUNK_FRAMES) {
      const symbols = latents.map((latent) =>
        toSymbols(latent.subarray(first * nLatent, (first + CHUNK_FRAMES) * nLatent), step),
      );
      chunks.push(this.model.encode(stepIndex, gainHalfDb, symbols));
    }
    const header: Header = {
      isStreamed: false, modelId: this.model.info.modelId, fingerprint: this.model.prior.fingerprint,
      sampleRateHz, nChannels: kept.length, stepIndex, nLatent, stepOffsets: null,
    };
    return pack({ header, chunks, nSamples });
  }

  /** Returns the latent [frame][dimension] of one channel. */
  private async analysed(
    samples: Float32Array,
    sampleRateHz: number,
    gainHalfDb: number,
    nFrames: number,
    progress?: Progress,
  ): Promise<Float32Array> {
    if (this.analysis === null) throw new Error("this codec was made without an analysis network");
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
      progress?.(end / FRAME_RATE_HZ, nFrames / FRAME_RATE_HZ);
    }
    return latent;
  }
}

function meanOf(channels: readonly Float32Array[]): Float32Array {
  return channels[0]!.map((_, i) => channels.reduce((sum, c) => sum + c[i]!, 0) / channels.length);
}
