/** The networks with what surrounds them: samples to latents and back, in windows. */

import { FRAME_RATE_HZ } from "./container.js";
import { logMagnitudes, samplesOf, whiteNoise } from "./dsp.js";
import { Spectrum } from "./spectrum.js";
import type { TransformConfig } from "./weights.js";

/** A network: takes one array of `shape`, returns arrays by name. */
export type Trunk = (input: Float32Array, shape: number[]) => Promise<Record<string, Float32Array>>;

/** Latent frames on either side that one frame depends on, rounded up; the edges of the strided
 * layers and of the spectrum add at most one each. */
function contextFrames(blocks: readonly number[], { strides, kernelFrames }: TransformConfig): number {
  let rate = strides.reduce((product, stride) => product * stride, 1);
  let reach = 0;
  blocks.forEach((nBlocks, level) => {
    reach += (nBlocks * Math.floor(kernelFrames / 2)) / rate;
    rate /= strides[level] ?? 1;
  });
  return Math.ceil(reach) + 2;
}

abstract class Transform {
  protected readonly spectrum: Spectrum;
  /** Samples of a latent frame. */
  readonly hopLength: number;
  /** Latent frames on either side that one frame depends on. */
  readonly contextFrames: number;

  constructor(
    protected readonly trunk: Trunk,
    protected readonly config: TransformConfig,
    blocks: readonly number[],
  ) {
    this.spectrum = new Spectrum(config.nFft, config.stftHop);
    this.hopLength = config.sampleRateHz / FRAME_RATE_HZ;
    this.contextFrames = contextFrames(blocks, config);
  }
}

/** Samples to latents. */
export class Analysis extends Transform {
  constructor(trunk: Trunk, config: TransformConfig) {
    super(trunk, config, config.analysisBlocks);
  }

  /** Returns the latent [frame][dimension] of whole frames of samples at the model's rate. */
  async run(samples: Float32Array): Promise<Float32Array> {
    const input = logMagnitudes(samples, this.spectrum);
    const nTimes = samples.length / this.spectrum.hop;
    const { latent } = await this.trunk(input, [1, nTimes, this.spectrum.nBins]);
    return latent!;
  }
}

/** Latents to samples. */
export class Synthesis extends Transform {
  constructor(trunk: Trunk, config: TransformConfig) {
    super(trunk, config, config.synthesisBlocks);
  }

  /** Returns samples at the model's rate for a latent [frame][dimension]. */
  async run(latent: Float32Array): Promise<Float32Array> {
    const { nLatent } = this.config;
    const out = await this.trunk(latent, [1, latent.length / nLatent, nLatent]);
    const parts = {
      logMagnitude: out["log_magnitude"]!, phase: out["phase"]!, logNoise: out["log_noise"]!,
    };
    return samplesOf(parts, whiteNoise(latent, nLatent, this.hopLength), this.spectrum);
  }
}
