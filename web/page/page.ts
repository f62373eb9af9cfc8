/** The page: opens .hzc files and audio, plays, seeks, saves, records. */

import { FRAME_RATE_HZ } from "../src/container.js";
import { readAudio } from "./audio.js";
import type { Opened, Reply, Request, Rung, Samples } from "./messages.js";
import { keepAll, keepForOffline } from "./offline-client.js";
import { Player } from "./player.js";
import { startRecording, type Recording } from "./recorder.js";
import { durationOf, showFacts, showRungs } from "./tables.js";
import { View } from "./view.js";

const MAGIC = "hzc";
const REFRESH_MS = 50;
const ARROW_S = 5;

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const button = (id: string): HTMLButtonElement => element<HTMLButtonElement>(id);
const status = element("status");
const problem = element("problem");
const progress = element<HTMLProgressElement>("progress");
const seek = element<HTMLInputElement>("seek");
const view = new View(
  element("view"), element<HTMLCanvasElement>("waveform"), element<HTMLCanvasElement>("spectrogram"),
  element("playhead"), (share) => seekTo(share * Number(seek.max)),
);

/** Something that can be opened. */
interface Item {
  readonly name: string;
  readonly read: () => Promise<Blob>;
}

let id = 0;
let name = "";
let opened: Opened | null = null;
let rungs: Rung[] = [];
let player: Player | null = null;
let nKnown = 0;
let recording: Recording | null = null;

await keepForOffline();
const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module" });

type Body<T> = T extends unknown ? Omit<T, "id"> : never;
function post(request: Body<Request>, transfer: Transferable[] = []): void {
  worker.postMessage({ id, ...request }, transfer);
}

// ---------------------------------------------------------------- what the worker says

worker.onmessage = ({ data }: MessageEvent<Reply>) => {
  if (data.type === "ready") ready();
  else if (data.id !== id) return; // about what was open before
  else if (data.type === "progress") showProgress(data.what, data.share);
  else if (data.type === "opened") showFile(data);
  else if (data.type === "samples") takeSamples(data);
  else if (data.type === "rung") takeRung(data);
  else if (data.type === "wav") saveWav(data.blob, data.nClipped);
  else fail(`${name}: ${data.message}`);
};
worker.onerror = (event) => fail(event.message || "The worker cannot be started.");

function ready(): void {
  keepAll();
  if (id === 0) showIdle();
}

function showIdle(): void {
  progress.hidden = true;
  status.textContent = "Ready.";
}

function showProgress(what: string, share: number): void {
  progress.hidden = false;
  progress.value = share;
  status.textContent = `${what}: ${Math.floor(100 * share)} %`;
}

function fail(message: string): void {
  problem.textContent = message;
  progress.hidden = true;
  status.textContent = "";
}

function showFile(file: Opened): void {
  const { header, nSamples, sampleRateHz } = file;
  const wasPlaying = player?.isPlaying ?? false;
  const share = player && opened && rungs.length > 0 ? player.position / player.nSamples : 0;
  player?.close();
  opened = file;
  nKnown = 0;
  const channels = Array.from({ length: header.nChannels }, () => new Float32Array(nSamples));
  player = new Player(channels, sampleRateHz, refresh);
  element("name").textContent = name;
  element("top-hz").textContent = `${sampleRateHz / 2000} kHz`;
  showFacts(element("facts"), file);
  showLadder();
  seek.max = String(nSamples / sampleRateHz);
  element("recording").hidden = false;
  button("save-wav").disabled = true;
  view.start(nSamples);
  if (share > 0) seekTo(share * Number(seek.max)); // another step index of what is open
  if (wasPlaying) void player.play();
  else if (rungs.length <= 1) button("play").focus({ preventScroll: true });
  refresh();
}

function takeSamples({ first, channels, firstColumn, columns }: Samples): void {
  if (player === null) return;
  player.put(first, channels);
  view.put(first, channels[0]!, firstColumn, columns);
  nKnown += channels[0]!.length;
  const isWhole = nKnown === player.nSamples;
  if (isWhole) showIdle();
  else showProgress("Decoding", nKnown / player.nSamples);
  button("save-wav").disabled = !isWhole;
  refresh();
}

function takeRung(rung: Rung): void {
  rungs = [...rungs.filter(({ stepIndex }) => stepIndex !== rung.stepIndex), rung];
  showLadder();
}

function showLadder(): void {
  element("ladder").hidden = rungs.length === 0 || opened === null;
  if (opened === null) return;
  const focused = (document.activeElement as HTMLElement | null)?.closest("#rungs button")?.textContent;
  showRungs(element("rungs"), rungs, durationOf(opened), opened.header.stepIndex, (stepIndex) =>
    post({ type: "choose", stepIndex }),
  );
  const buttons = [...element("rungs").querySelectorAll("button")];
  buttons.find(({ textContent }) => textContent === focused)?.focus();
}

// ---------------------------------------------------------------- opening

/** Forgets what is open. */
function begin(itemName: string): number {
  problem.textContent = "";
  player?.close();
  player = null;
  opened = null;
  rungs = [];
  name = itemName;
  element("recording").hidden = true;
  for (const other of element("files").children) {
    const isOpen = other.textContent === itemName;
    other.setAttribute("aria-current", String(isOpen));
    other.className = isOpen ? "on" : "";
  }
  return ++id;
}

/** Lists what was given, where it is more than one, and opens the first. */
function offer(items: readonly Item[]): void {
  const [first] = items;
  if (first === undefined) return;
  element("files").hidden = items.length === 1;
  element("files").replaceChildren(
    ...items.map((item) => {
      const choice = document.createElement("button");
      choice.type = "button";
      choice.textContent = item.name;
      choice.onclick = () => void open(item);
      return choice;
    }),
  );
  void open(first);
}

/** Opens a .hzc file; encodes any other audio that the browser reads. */
async function open(item: Item): Promise<void> {
  const own = begin(item.name);
  showProgress("Reading", 0);
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(await (await item.read()).arrayBuffer());
  } catch (error) {
    if (own === id) fail(`${item.name} cannot be read: ${(error as Error).message}`);
    return;
  }
  if (own !== id) return;
  const isHzc = new TextDecoder("latin1").decode(bytes.subarray(0, 3)) === MAGIC;
  if (isHzc || item.name.endsWith(".hzc")) return post({ type: "open", bytes });
  try {
    const { channels, sampleRateHz } = await readAudio(bytes);
    if (own !== id) return;
    name = `${item.name.replace(/\.[^.]*$/, "")}.hzc`;
    post({ type: "encode", channels, sampleRateHz });
  } catch {
    if (own === id) fail(`${item.name} is neither a .hzc file nor audio that this browser reads.`);
  }
}

const fromFiles = (files: FileList | null | undefined): Item[] =>
  [...(files ?? [])].map((file) => ({ name: file.name, read: async () => file }));

async function fetched(url: string): Promise<Blob> {
  const response = await fetch(url).catch(() => {
    throw new Error("there is no network, or its server does not let other pages read it");
  });
  if (!response.ok) throw new Error(`the server answers ${response.status}`);
  return response.blob();
}

async function toggleRecording(): Promise<void> {
  if (recording === null) {
    begin("recording.hzc");
    recording = await startRecording();
    button("record").textContent = "Stop";
    button("record").classList.add("on");
    progress.hidden = true;
    const start = Date.now();
    const timer = setInterval(() => {
      if (recording === null) clearInterval(timer);
      else status.textContent = `Recording: ${clock((Date.now() - start) / 1000)}`;
    }, REFRESH_MS);
    return;
  }
  const blob = await recording.stop();
  recording = null;
  button("record").textContent = "Record";
  button("record").classList.remove("on");
  offer([{ name: "recording", read: async () => blob }]);
}

// ---------------------------------------------------------------- playing

const clock = (seconds: number): string =>
  `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

function refresh(): void {
  if (player === null) return;
  const [positionS, durationS] = [player.position / player.sampleRateHz, Number(seek.max)];
  button("play").textContent = player.isPlaying ? "Pause" : "Play";
  seek.value = String(positionS);
  seek.setAttribute("aria-valuetext", `${clock(positionS)} of ${clock(durationS)}`);
  element("clock").textContent = `${clock(positionS)} / ${clock(durationS)}`;
  view.move(player.position / player.nSamples);
}

function togglePlaying(): void {
  if (player?.isPlaying) player.pause();
  else void player?.play();
  refresh();
}

function seekTo(seconds: number): void {
  if (player === null) return;
  player.seek(seconds * player.sampleRateHz);
  post({ type: "seek", frame: Math.floor(seconds * FRAME_RATE_HZ) });
  refresh();
}

// ---------------------------------------------------------------- saving

function save(blob: Blob, fileName: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function saveWav(blob: Blob, nClipped: number): void {
  save(blob, name.replace(/(\.hzc)?$/, ".wav"));
  showIdle();
  if (nClipped > 0) status.textContent = `Saved; ${nClipped} samples were clipped.`;
}

button("save-wav").onclick = () => {
  if (player === null || opened === null) return;
  status.textContent = "Making the WAV file …";
  const { header, nOriginalSamples } = opened;
  post({
    type: "wav", channels: player.channels, sampleRateHz: player.sampleRateHz,
    originalRateHz: header.sampleRateHz, nOriginalSamples,
  });
};
button("save-hzc").onclick = () => {
  if (opened) save(new Blob([opened.bytes]), name);
};

// ---------------------------------------------------------------- what the user does

element<HTMLInputElement>("file").onchange = ({ target }) => {
  const input = target as HTMLInputElement;
  offer(fromFiles(input.files));
  input.value = ""; // the same file may be chosen again
};
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => {
  event.preventDefault();
  offer(fromFiles(event.dataTransfer?.files));
};
button("play").onclick = togglePlaying;
button("record").onclick = () =>
  void toggleRecording().catch((error: Error) => fail(`The microphone cannot be used: ${error.message}`));
seek.oninput = () => seekTo(Number(seek.value));
document.onkeydown = (event) => {
  const isControl = (event.target as HTMLElement).closest("button, input") !== null;
  if (player === null || isControl || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === " ") togglePlaying();
  else if (event.key === "ArrowLeft") seekTo(player.position / player.sampleRateHz - ARROW_S);
  else if (event.key === "ArrowRight") seekTo(player.position / player.sampleRateHz + ARROW_S);
  else return;
  event.preventDefault();
};
setInterval(() => player?.isPlaying && refresh(), REFRESH_MS);

const urls = new URLSearchParams(location.search).getAll("url");
offer(
  urls.map((url) => ({
    name: decodeURIComponent(new URL(url, location.href).pathname.replace(/.*\//, "")),
    read: () => fetched(url),
  })),
);
