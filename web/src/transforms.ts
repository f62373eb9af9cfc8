/** The networks with what surrounds them: samples to latents and back, in windows. */

import { CHUNK_FRAMES, FRAME_RATE_HZ } from "./container.js";
import { logMagnitudes, samplesOf, whiteNoise } from "./dsp.js";
import { Spectrum } from "./spectrum.js";
import type { TransformConfig } from "./weights.js";

/** Frames that one window of a transform gives. */
export const CORE_FRAMES = 2 * CHUNK_FRAMES;

/** Called with the seconds done and the seconds in all; the work goes on when it has returned. */
export type Progress = (doneS: number, allS: number) => void | Promise<void>;

/** An input of a network; the last index runs fastest. */
export interface Input {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** A network: takes arrays by name, those that it has no use for too; returns arrays by name. */
export type Trunk = (inputs: Record<string, Input>) => Promise<Record<string, Float32Array>>;

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
    const { hop, nBins } = this.spectrum;
    const values = logMagnitudes(samples, this.spectrum);
    const features = { values, shape: [1, samples.length / hop, nBins] };
    const { y } = await this.trunk({ features });
    return transposed(y!, this.config.nLatent);
  }
}

/** Latents to samples. */
export class Synthesis extends Transform {
  constructor(trunk: Trunk, config: TransformConfig) {
    super(trunk, config, config.synthesisBlocks);
  }

  /** Returns samples at the model's rate for a latent [frame][dimension] and its step index. */
  async run(latent: Float32Array, stepIndex: number): Promise<Float32Array> {
    const { nLatent } = this.config;
    const nFrames = latent.length / nLatent;
    const out = await this.trunk({
      y_hat: { values: transposed(latent, nFrames), shape: [1, nLatent, nFrames] },
      step_index: { values: Float32Array.of(stepIndex), shape: [1] },
    });
    const parts = {
      logMagnitude: out["log_magnitude"]!, phase: out["phase"]!, logNoise: out["log_noise"]!,
    };
    return samplesOf(parts, whiteNoise(latent, nLatent, this.hopLength), this.spectrum);
  }
}

/** Returns a matrix of `nRows` rows column by column; the networks want [dimension][frame]. */
function transposed(matrix: Float32Array, nRows: number): Float32Array {
  const nColumns = matrix.length / nRows;
  return Float32Array.from(matrix, (_, i) => matrix[(i % nRows) * nColumns + Math.floor(i / nRows)]!);
}
