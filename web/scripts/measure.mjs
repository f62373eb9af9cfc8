/**
 * Measures the networks against the reference waveforms, and the page in headless Chromium: size,
 * first sound, decoding and encoding.
 *
 * usage: node scripts/measure.mjs [SECONDS]   after `npm run site`; speech is demo/samples, repeated
 *
 * Times are by the clock, and of the processor: all of Chromium's processes together. On a machine
 * that does other work only the latter mean something.
 */

import { createServer } from "node:http";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { chromium } from "playwright-core";

import { decode, encode, loadDecoder } from "../build/src/index.js";
import { wavFile } from "../build/page/wav.js";
import { readFlac, reference, snrDb, read, vectors } from "../build/test/repository.js";

const SECONDS = Number(process.argv[2] ?? 60);
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--autoplay-policy=no-user-gesture-required",
];
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript", css: "text/css" };
const RATE_HZ = 16000;
const TICKS_PER_S = 100;

/** Returns speech of some seconds: the samples of the repository one after the other. */
async function speech() {
  const all = new Float32Array(SECONDS * RATE_HZ);
  for (let at = 0; at < all.length; ) {
    for (const name of readdirSync(new URL("../../demo/samples/", import.meta.url))) {
      const { channels } = await readFlac(`demo/samples/${name}`);
      all.set(channels[0].subarray(0, all.length - at), at);
      at = Math.min(all.length, at + channels[0].length);
    }
  }
  return all;
}

const full = await loadDecoder(reference("synthesis"));
for (const { file, reference: path } of vectors.filter((vector) => vector.reference)) {
  const { channels } = await readFlac(`formats/vectors/${path}`);
  const bytes = read(`formats/vectors/${file}`);
  const [small, large] = [await decode(bytes), await full.decode(bytes)];
  const [smallDb, largeDb] = [small, large].map((found) => snrDb(channels[0], found.channels[0]).toFixed(1));
  console.log(`${file}: small networks ${smallDb} dB, the Python package's ${largeDb} dB`);
}

const samples = await speech();
const contents = {
  "speech.hzc": await encode(samples, RATE_HZ),
  "speech.wav": new Uint8Array(await wavFile([samples], RATE_HZ).blob.arrayBuffer()),
};
const site = new URL("../site/", import.meta.url);
let nBytes = 0;
const server = createServer((request, response) => {
  const name = new URL(request.url, "http://localhost").pathname.slice(1) || "index.html";
  const bytes = contents[name] ?? (existsSync(new URL(name, site)) ? readFileSync(new URL(name, site)) : null);
  if (bytes === null) return response.writeHead(404).end();
  if (!(name in contents)) nBytes += bytes.length;
  const headers = { "Content-Type": TYPES[name.replace(/.*\./, "")] ?? "application/octet-stream" };
  return response.writeHead(200, { ...headers, "Content-Length": bytes.length }).end(bytes);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const home = `http://127.0.0.1:${server.address().port}/`;
const launched = await chromium.launchServer({ executablePath: CHROMIUM, args: ARGUMENTS });
const browser = await chromium.connect(launched.wsEndpoint());
const page = await browser.newPage();
page.setDefaultTimeout(300_000);
const ready = () => page.waitForFunction(() => document.getElementById("status").textContent === "Ready.");

/** Returns the processor time of Chromium's processes so far, in seconds. */
function processorS() {
  const ticks = new Map();
  const parents = new Map();
  for (const pid of readdirSync("/proc").filter(Number)) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/.*\)/s, "").trim().split(" ");
      parents.set(Number(pid), Number(fields[1]));
      ticks.set(Number(pid), Number(fields[11]) + Number(fields[12]));
    } catch {
      continue; // it has ended
    }
  }
  const isOurs = (pid) => pid === launched.process().pid || (parents.has(pid) && isOurs(parents.get(pid)));
  return [...ticks].reduce((sum, [pid, n]) => sum + (isOurs(pid) ? n / TICKS_PER_S : 0), 0);
}

/** Returns the seconds until `done`, from when a file is dropped: of the clock and of the processor. */
async function timed(name, done) {
  const transfer = await page.evaluateHandle(async (file) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([await (await fetch(file)).blob()], file));
    return transfer;
  }, name);
  const [start, used] = [performance.now(), processorS()];
  await page.dispatchEvent("body", "drop", { dataTransfer: transfer });
  await done();
  return [(performance.now() - start) / 1000, processorS() - used];
}

const isDecoded = () => page.waitForSelector("#save-wav:enabled");
/** Presses Play as soon as it is there, and notes when the first samples go to the sound card. */
await page.addInitScript(() => {
  const { start } = AudioBufferSourceNode.prototype;
  AudioBufferSourceNode.prototype.start = function (...when) {
    window.heardAt ??= performance.now();
    return start.apply(this, when);
  };
  document.addEventListener("drop", () => {
    const dropped = performance.now();
    window.heardAt = undefined;
    window.soundS = () => (window.heardAt === undefined ? null : (window.heardAt - dropped) / 1000);
  });
});
async function firstSoundS() {
  await page.evaluate(() => {
    const section = document.getElementById("recording");
    new MutationObserver((_, observer) => {
      if (section.hidden) return;
      observer.disconnect();
      document.getElementById("play").click();
    }).observe(section, { attributes: true });
  });
  const [, used] = await timed("speech.hzc", () => page.waitForFunction(() => window.soundS?.() != null));
  return [await page.evaluate(() => window.soundS()), used];
}

console.log(
  `${cpus().length} × ${cpus()[0].model}, load ${loadavg()[0].toFixed(1)}, ` +
  `Chromium ${browser.version()}, ${SECONDS} s of speech`,
);
await page.goto(home);
await ready();
for (const visit of ["first visit", "second visit"]) {
  const isolated = await page.evaluate(() => crossOriginIsolated);
  const [soundS, soundProcessorS] = await firstSoundS();
  const decode = await timed("speech.hzc", isDecoded);
  await timed("speech.wav", isDecoded); // loads the encoder
  const encode = await timed("speech.wav", () => page.waitForSelector("#play:visible"));
  const speed = (times) => times.map((s) => (SECONDS / s).toFixed(0)).join(" and ");
  console.log(
    `${visit}, ${isolated ? "threads" : "one thread"}: first sound after ${soundS.toFixed(2)} s by the clock, at ` +
    `most ${soundProcessorS.toFixed(2)} s of processor time; by clock and processor decodes ${speed(decode)} × real time, encodes ${speed(encode)} × real time`,
  );
  await page.reload();
  await ready();
}
console.log(`${(nBytes / 1e6).toFixed(2)} MB transferred in both visits`);
await launched.close();
server.close();
process.exit(0);
