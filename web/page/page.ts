/** The page: opens .hzc files and audio by drop or button, plays, seeks, saves, records. */

import { FRAME_RATE_HZ } from "../src/container.js";
import type { Opened, Reply, Request } from "./messages.js";
import { Player } from "./player.js";
import { wavFile } from "./wav.js";
import { drawWaveform } from "./waveform.js";

const MAGIC = "hzc";

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const status = element("status");
const problem = element("problem");
const progress = element<HTMLProgressElement>("progress");
const seek = element<HTMLInputElement>("seek");
const canvas = element<HTMLCanvasElement>("waveform");
const playButton = element<HTMLButtonElement>("play");
const recordButton = element<HTMLButtonElement>("record");
const saveWavButton = element<HTMLButtonElement>("save-wav");
const saveHzcButton = element<HTMLButtonElement>("save-hzc");

const CONTROL_MS = 2000;

/**
 * Waits until the service worker keeps what is fetched; not for ever, since a forced reload goes
 * past it. Where the browser has none, the page only needs the network again next time.
 */
async function keepForOffline(): Promise<void> {
  const { serviceWorker } = navigator;
  await serviceWorker.register("offline.js");
  if (serviceWorker.controller !== null) return;
  await new Promise((resolve) => {
    serviceWorker.addEventListener("controllerchange", resolve, { once: true });
    setTimeout(resolve, CONTROL_MS);
  });
}

if ("serviceWorker" in navigator) await keepForOffline().catch(() => undefined);
const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });
const post = (request: Request): void => worker.postMessage(request);

let name = "recording";
let current: Uint8Array<ArrayBuffer> | null = null;
let player: Player | null = null;
let nKnown = 0;

const clock = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function say(message: string): void {
  status.textContent = message;
}

function fail(message: string): void {
  problem.textContent = message;
  progress.hidden = true;
}

worker.onmessage = ({ data }: MessageEvent<Reply>) => {
  if (data.type === "ready") say("Ready.");
  else if (data.type === "progress") showProgress(data.what, data.share);
  else if (data.type === "opened") showFile(data);
  else if (data.type === "samples") takeSamples(data.first, data.channels);
  else if (data.type === "encoded") openHzc(new Uint8Array(data.bytes));
  else fail(data.message);
};
worker.onerror = (event) => fail(event.message || "The worker cannot be started.");

function showProgress(what: string, share: number): void {
  progress.hidden = share >= 1;
  progress.value = share;
  say(`${what}: ${Math.round(100 * share)} %`);
}

function showFile(opened: Opened): void {
  const { header, nSamples, sampleRateHz } = opened;
  const durationS = opened.nOriginalSamples / header.sampleRateHz;
  player?.close();
  nKnown = 0;
  const channels = Array.from({ length: header.nChannels }, () => new Float32Array(nSamples));
  player = new Player(channels, sampleRateHz, refresh);
  const facts: [string, string][] = [
    ["File", name],
    ["Duration", `${durationS.toFixed(2)} s`],
    ["Size", `${opened.nBytes} bytes`],
    ["Rate", `${((8 * opened.nBytes) / durationS / 1000).toFixed(2)} kbit/s`],
    ["Channels", String(header.nChannels)],
    ["Original sample rate", `${header.sampleRateHz} Hz`],
    ["Step index", String(header.stepIndex)],
    ["Model", String(header.modelId)],
  ];
  element("facts").replaceChildren(
    ...facts.flatMap(([term, value]) => {
      const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
      dt.textContent = term;
      dd.textContent = value;
      return [dt, dd];
    }),
  );
  seek.max = String(nSamples / sampleRateHz);
  element("recording").hidden = false;
  playButton.focus();
  refresh();
}

function takeSamples(first: number, channels: Float32Array[]): void {
  if (player === null) return;
  player.put(first, channels);
  nKnown += channels[0]!.length;
  showProgress("decoding", nKnown / player.nSamples);
  saveWavButton.disabled = nKnown < player.nSamples;
  if (nKnown === player.nSamples) say("Ready.");
  refresh();
}

function refresh(): void {
  if (player === null) return;
  const seconds = player.position / player.sampleRateHz;
  playButton.textContent = player.isPlaying ? "Pause" : "Play";
  seek.value = String(seconds);
  const durationS = player.nSamples / player.sampleRateHz;
  seek.setAttribute("aria-valuetext", `${clock(seconds)} of ${clock(durationS)}`);
  element("clock").textContent = `${clock(seconds)} / ${clock(durationS)}`;
  drawWaveform(canvas, player.channels, player.position);
}

function openHzc(bytes: Uint8Array<ArrayBuffer>): void {
  current = bytes;
  player?.close();
  player = null;
  element("recording").hidden = true;
  saveWavButton.disabled = true;
  post({ type: "open", bytes });
}

/** Opens a .hzc file; encodes any other audio that the browser reads. */
async function openBlob(blob: Blob, fileName: string): Promise<void> {
  problem.textContent = "";
  name = fileName;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const isHzc = new TextDecoder("latin1").decode(bytes.subarray(0, 3)) === MAGIC;
  if (isHzc || fileName.endsWith(".hzc")) return openHzc(bytes);
  const context = new AudioContext();
  try {
    const audio = await context.decodeAudioData(bytes.buffer);
    const channels = Array.from({ length: audio.numberOfChannels }, (_, i) => audio.getChannelData(i));
    name = fileName.replace(/\.[^.]*$/, "") + ".hzc";
    post({ type: "encode", channels, sampleRateHz: audio.sampleRate });
  } catch {
    fail(`${fileName} is neither a .hzc file nor audio that this browser reads.`);
  } finally {
    void context.close();
  }
}

function save(blob: Blob, fileName: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

let recorder: MediaRecorder | null = null;

async function toggleRecording(): Promise<void> {
  if (recorder !== null) return recorder.stop();
  problem.textContent = "";
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const pcm = "audio/webm;codecs=pcm";
  recorder = new MediaRecorder(stream, MediaRecorder.isTypeSupported(pcm) ? { mimeType: pcm } : {});
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  recorder.onstop = () => {
    stream.getTracks().forEach((track) => track.stop());
    recorder = null;
    recordButton.textContent = "Record";
    void openBlob(new Blob(parts), "recording.webm");
  };
  recorder.start();
  recordButton.textContent = "Stop";
  say("recording …");
}

element<HTMLInputElement>("file").onchange = ({ target }) => {
  const [file] = (target as HTMLInputElement).files ?? [];
  if (file) void openBlob(file, file.name);
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer?.files ?? [];
  if (file) void openBlob(file, file.name);
};
playButton.onclick = () => {
  if (player?.isPlaying) player.pause();
  else void player?.play();
  refresh();
};
recordButton.onclick = () => void toggleRecording().catch((error: Error) => fail(error.message));
saveWavButton.onclick = () => {
  if (player) save(wavFile(player.channels, player.sampleRateHz), name.replace(/\.hzc$/, ".wav"));
};
saveHzcButton.onclick = () => {
  if (current) save(new Blob([current]), name);
};

function seekTo(seconds: number): void {
  if (player === null) return;
  player.seek(seconds * player.sampleRateHz);
  post({ type: "seek", frame: Math.floor(seconds * FRAME_RATE_HZ) });
  refresh();
}
seek.oninput = () => seekTo(Number(seek.value));
canvas.onclick = ({ offsetX }) => seekTo((offsetX / canvas.clientWidth) * Number(seek.max));
setInterval(() => player?.isPlaying && refresh(), 50);

const url = new URLSearchParams(location.search).get("file");
if (url !== null) {
  fetch(url)
    .then((response) => {
      if (!response.ok) throw new Error(`${url} cannot be fetched (${response.status})`);
      return response.blob();
    })
    .then((blob) => openBlob(blob, url.replace(/.*\//, "")))
    .catch((error: Error) => fail(error.message));
}
