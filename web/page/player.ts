/** Plays samples while they still arrive. */

const AHEAD_S = 0.6;
const PIECE_S = 0.25;
const TICK_MS = 100;

export class Player {
  isPlaying = false;
  private readonly context: AudioContext;
  private readonly isKnown: Uint8Array;
  private readonly blockSamples: number;
  private nodes: AudioBufferSourceNode[] = [];
  private nextSample = 0;
  private nextTime = 0;
  private timer = 0;

  /** The context has the samples' own rate, so that pieces join without a seam. */
  constructor(
    readonly channels: Float32Array<ArrayBuffer>[],
    readonly sampleRateHz: number,
    private readonly onEnd: () => void,
  ) {
    this.context = new AudioContext({ sampleRate: sampleRateHz });
    this.blockSamples = PIECE_S * sampleRateHz;
    this.isKnown = new Uint8Array(Math.ceil(this.nSamples / this.blockSamples));
  }

  get nSamples(): number {
    return this.channels[0]!.length;
  }

  /** The sample that is heard now. */
  get position(): number {
    if (!this.isPlaying) return this.nextSample;
    const waiting = Math.max(0, this.nextTime - this.context.currentTime) * this.sampleRateHz;
    return Math.max(0, Math.round(this.nextSample - waiting));
  }

  /** Takes samples that have been decoded; `first` is at a whole second. */
  put(first: number, parts: readonly Float32Array[]): void {
    parts.forEach((part, i) => this.channels[i]!.set(part, first));
    const block = first / this.blockSamples;
    this.isKnown.fill(1, block, block + Math.ceil(parts[0]!.length / this.blockSamples));
  }

  async play(): Promise<void> {
    if (this.nextSample >= this.nSamples) this.nextSample = 0;
    this.isPlaying = true;
    await this.context.resume();
    this.nextTime = this.context.currentTime;
    window.clearInterval(this.timer);
    this.timer = window.setInterval(() => this.schedule(), TICK_MS);
    this.schedule();
  }

  pause(): void {
    this.nextSample = this.position;
    this.isPlaying = false;
    window.clearInterval(this.timer);
    for (const node of this.nodes) node.stop();
    this.nodes = [];
  }

  seek(sample: number): void {
    const wasPlaying = this.isPlaying;
    this.pause();
    this.nextSample = Math.max(0, Math.min(this.nSamples, Math.round(sample)));
    if (wasPlaying) void this.play();
  }

  close(): void {
    this.pause();
    void this.context.close();
  }

  private schedule(): void {
    const { currentTime } = this.context;
    while (this.nextSample < this.nSamples && this.nextTime < currentTime + AHEAD_S) {
      const block = Math.floor(this.nextSample / this.blockSamples);
      if (this.isKnown[block] === 0) return; // waits for the decoder
      this.nextTime = Math.max(this.nextTime, currentTime + 0.02);
      const end = Math.min(this.nSamples, (block + 1) * this.blockSamples);
      this.start(this.nextSample, end);
      this.nextTime += (end - this.nextSample) / this.sampleRateHz;
      this.nextSample = end;
    }
    if (this.nextSample >= this.nSamples && currentTime >= this.nextTime) {
      this.pause();
      this.onEnd();
    }
  }

  private start(first: number, end: number): void {
    const buffer = this.context.createBuffer(this.channels.length, end - first, this.sampleRateHz);
    this.channels.forEach((channel, i) => buffer.copyToChannel(channel.subarray(first, end), i));
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.context.destination);
    node.onended = () => (this.nodes = this.nodes.filter((other) => other !== node));
    node.start(this.nextTime);
    this.nodes.push(node);
  }
}
