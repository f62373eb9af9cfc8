/** The promises of the page, in headless Chromium; they need web/site and its models. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";

import { unpack } from "../src/container.js";
import { PYTHON, read, readFlac, repository, skipWithoutModels, snrDb, vectors } from "./repository.js";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
/** Of the page's networks against the reference waveforms. */
const MIN_SNR_DB = 25;
const site = new URL("../../site/", import.meta.url);
const TYPES: Record<string, string> = {
  html: "text/html", js: "text/javascript", mjs: "text/javascript", css: "text/css",
};
const skip =
  skipWithoutModels ||
  (!existsSync(CHROMIUM) && `there is no Chromium at ${CHROMIUM}`) ||
  (!existsSync(new URL("index.html", site)) && "the page is not built: npm run site");

const folder = mkdtempSync(join(tmpdir(), "hzc-web-"));
let server: Server;
let browser: Browser;
let page: Page;
let home = "";

before(async () => {
  if (skip) return;
  server = createServer((request, response) => {
    const path = new URL(request.url!, "http://localhost").pathname.slice(1) || "index.html";
    const file = path.startsWith("repository/") ? new URL(path.slice(11), repository) : new URL(path, site);
    if (!existsSync(file)) return response.writeHead(404).end();
    const bytes = readFileSync(file);
    const type = TYPES[path.replace(/.*\./, "")] ?? "application/octet-stream";
    return response.writeHead(200, { "Content-Type": type, "Content-Length": bytes.length }).end(bytes);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  home = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    ],
  });
  page = await browser.newPage({ viewport: { width: 390, height: 844 } });
  page.setDefaultTimeout(120_000);
  await page.goto(home);
  await ready();
});

after(async () => {
  await browser?.close();
  if (server?.listening) server.close();
  rmSync(folder, { recursive: true });
});

const ready = (): Promise<unknown> =>
  page.waitForFunction(() => document.getElementById("status")!.textContent === "Ready.");
const decoded = (): Promise<unknown> => page.waitForSelector("#save-wav:enabled");
const seconds = async (): Promise<number> => Number(await page.inputValue("#seek"));
const wait = (ms: number): Promise<unknown> => page.waitForTimeout(ms);

/** Drops files on the page, as from a folder. */
async function drop(...files: [name: string, path: string][]): Promise<void> {
  const data = await page.evaluateHandle(
    (contents) => {
      const transfer = new DataTransfer();
      for (const [name, bytes] of contents) transfer.items.add(new File([new Uint8Array(bytes)], name));
      return transfer;
    },
    files.map(([name, path]) => [name, [...read(path)]] as const),
  );
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

async function download(button: string): Promise<Uint8Array<ArrayBuffer>> {
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return new Uint8Array(readFileSync(await saved.path()));
}

interface Wav {
  rateHz: number;
  channels: Float32Array[];
}

function readWav(bytes: Uint8Array): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const nChannels = view.getUint16(22, true);
  const n = (bytes.length - 44) / 2 / nChannels;
  const channels = Array.from({ length: nChannels }, (_, c) =>
    Float32Array.from({ length: n }, (_, i) => view.getInt16(44 + 2 * (i * nChannels + c), true) / 32768),
  );
  return { rateHz: view.getUint32(24, true), channels };
}

/** Decodes a file with the Python package, at the page's sample rate. */
function decodedByPython(bytes: Uint8Array): Wav {
  writeFileSync(join(folder, "page.hzc"), bytes);
  const paths = [join(folder, "page.hzc"), join(folder, "python.wav")];
  execFileSync(PYTHON, ["-m", "hzc", "decode", "-q", "-f", "--sample-rate", "source", ...paths], { cwd: repository });
  return readWav(readFileSync(paths[1]!));
}

test("Chromium finds the symbols of all vectors and makes their bytes again", { skip }, async () => {
  const accepted = vectors.filter(({ error }) => error === undefined);
  const found = await page.evaluate(
    async ([root, files]) => {
      const load = (path: string): Promise<any> => import(/* @vite-ignore */ `${root}repository/web/build/src/${path}`);
      const bytesOf = async (path: string): Promise<Uint8Array> =>
        new Uint8Array(await (await fetch(`${root}repository/${path}`)).arrayBuffer());
      const { WeightFile } = await load("weights.js");
      const { Model } = await load("model.js");
      const { unpack: read, pack } = await load("container.js");
      const model = new Model(new WeightFile(await bytesOf("hzc/weights/base.safetensors")));
      const results: { hash: string; isSame: boolean }[] = [];
      for (const file of files) {
        const bytes = await bytesOf(`formats/vectors/${file}`);
        const whole = read(bytes);
        const { stepIndex, nLatent, nChannels } = whole.header;
        const chunks: Int16Array[][] = whole.chunks.map((chunk: unknown) => model.decode(whole.header, chunk));
        const values: number[] = [];
        for (let c = 0; c < nChannels; c++) {
          for (let d = 0; d < nLatent; d++) {
            for (const chunk of chunks) for (let i = d; i < chunk[c]!.length; i += nLatent) values.push(chunk[c]![i]!);
          }
        }
        const view = new DataView(new ArrayBuffer(4 * values.length));
        values.forEach((value, i) => view.setInt32(4 * i, value));
        const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", view.buffer));
        const again = chunks.map((symbols, i) => model.encode(stepIndex, whole.chunks[i].gainHalfDb, symbols));
        const packed: Uint8Array = pack({ ...whole, chunks: again });
        results.push({
          hash: [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
          isSame: packed.length === bytes.length && packed.every((byte, i) => byte === bytes[i]),
        });
      }
      return results;
    },
    [home, accepted.map(({ file }) => file)] as const,
  );
  accepted.forEach((vector, i) => {
    assert.deepEqual(found[i], { hash: vector.symbols_sha256, isSame: true }, vector.file);
  });
});

test("a file that is dropped is drawn, and saved as WAV at the original's rate", { skip }, async () => {
  await drop(["joined.hzc", "formats/vectors/unusual/joined.hzc"]);
  await decoded();
  const vector = vectors.find(({ file }) => file === "unusual/joined.hzc")!;
  const expected = await readFlac(`formats/vectors/${vector.reference}`);
  const { rateHz, channels } = readWav(await download("#save-wav"));
  assert.equal(rateHz, vector.sample_rate_hz);
  expected.channels.forEach((samples, i) => {
    assert.equal(channels[i]!.length, vector.n_samples);
    const snr = snrDb(samples, channels[i]!);
    assert.ok(snr >= MIN_SNR_DB, `${snr.toFixed(1)} dB`);
  });
  for (const id of ["waveform", "spectrogram"]) {
    const nColours = await page.evaluate((name) => {
      const canvas = document.getElementById(name) as HTMLCanvasElement;
      const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }, id);
    assert.ok(nColours > 1, id);
  }
  assert.match((await page.textContent("#facts"))!, new RegExp(`${vector.sample_rate_hz} Hz`));
});

test("files open by URL; it plays, pauses and seeks by keyboard", { skip }, async () => {
  const urls = ["speech", "hop"].map((name) => `url=repository/formats/vectors/valid/${name}.hzc`);
  await page.goto(`${home}?${urls.join("&")}`);
  await decoded();
  const listed = await page.$$eval("#files button", (all) => all.map(({ textContent }) => textContent));
  assert.deepEqual(listed, ["speech.hzc", "hop.hzc"]);
  await page.keyboard.press("Space"); // the button has the focus
  await page.waitForFunction(() => Number((document.getElementById("seek") as HTMLInputElement).value) > 0.5);
  await page.keyboard.press("Space");
  const paused = await seconds();
  await wait(300);
  assert.equal(await seconds(), paused);
  await page.focus("#seek");
  await page.keyboard.press("End");
  assert.ok((await seconds()) > 5.4);
  await page.keyboard.press("Home");
  assert.equal(await seconds(), 0);
  await page.evaluate(() => (document.activeElement as HTMLElement).blur());
  await page.keyboard.press("ArrowRight");
  assert.equal(await seconds(), 5);
  const { width } = (await page.locator("body").boundingBox())!;
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= width, "it scrolls sideways");
});

test("audio is encoded, at several step indexes, and Python decodes it", { skip }, async () => {
  await drop(["p225.flac", "demo/samples/p225_003.flac"]);
  await page.waitForFunction(() => document.querySelectorAll("#rungs tr").length === 7);
  await decoded();
  const sizes = (await page.$$eval("#rungs td:last-child", (cells) => cells.map((cell) => Number(cell.textContent))));
  assert.deepEqual(sizes, [...sizes].sort((a, b) => b - a));
  await page.click("#rungs tr:first-child button");
  await page.waitForSelector("#rungs tr:first-child button.on");
  await decoded();
  const bytes = await download("#save-hzc");
  assert.equal(bytes.length, sizes[0]);
  const original = await readFlac("demo/samples/p225_003.flac");
  assert.equal(unpack(bytes).header.sampleRateHz, original.rateHz);
  assert.equal(unpack(bytes).nSamples, original.channels[0]!.length);
  const here = readWav(await download("#save-wav"));
  const there = decodedByPython(bytes);
  assert.equal(here.rateHz, there.rateHz);
  const snr = snrDb(there.channels[0]!, here.channels[0]!);
  assert.ok(snr >= MIN_SNR_DB, `${snr.toFixed(1)} dB`);
});

test("a recording from the microphone becomes a .hzc file that Python decodes", { skip }, async () => {
  await page.click("#record");
  await wait(2500);
  await page.click("#record");
  await decoded();
  const { channels, rateHz } = decodedByPython(await download("#save-hzc"));
  const durationS = channels[0]!.length / rateHz;
  assert.ok(durationS > 1, `${durationS} s`);
  assert.ok(channels[0]!.some((x) => Math.abs(x) > 0.001)); // Chromium's fake microphone beeps
});

test("what cannot be opened shows its error, and the next file opens", { skip }, async () => {
  const problem = async (): Promise<string> => {
    await page.waitForFunction(() => document.getElementById("problem")!.textContent !== "");
    return (await page.textContent("#problem"))!;
  };
  await drop(["damaged.hzc", "formats/vectors/faulty/record-crc.hzc"]);
  assert.match(await problem(), /^damaged\.hzc: Corrupt: /);
  await drop(["notes.txt", "LICENSE"]);
  await page.waitForFunction(() => document.getElementById("problem")!.textContent!.startsWith("notes.txt"));
  await page.goto(`${home}?url=missing.hzc`);
  assert.match(await problem(), /^missing\.hzc cannot be read: .*404/);
  await drop(["hop.hzc", "formats/vectors/valid/hop.hzc"]);
  await decoded();
  assert.equal(await page.textContent("#problem"), "");
});

test("`hzc play` gives the page files and the package's own networks", { skip }, async () => {
  const file = join(folder, "two words & more.hzc");
  copyFileSync(new URL("formats/vectors/valid/speech.hzc", repository), file);
  const play = spawn(PYTHON, ["-m", "hzc", "play", "--no-open", file], { cwd: repository });
  try {
    const [line] = (await once(play.stdout, "data")) as [Buffer];
    await page.goto(line.toString().split(" ")[0]!);
    await decoded();
    assert.equal(await page.textContent("#name"), "two words & more.hzc");
    assert.ok(await page.evaluate(() => crossOriginIsolated));
    const expected = await readFlac("formats/vectors/speech-decoded.flac");
    const snr = snrDb(expected.channels[0]!, readWav(await download("#save-wav")).channels[0]!);
    assert.ok(snr >= 55, `${snr.toFixed(1)} dB`);
  } finally {
    play.kill();
  }
});

test("a second visit needs no network, and runs in threads", { skip }, async () => {
  server.closeAllConnections();
  server.close();
  await page.goto(home);
  await ready();
  assert.ok(await page.evaluate(() => crossOriginIsolated));
  await drop(["p225.flac", "demo/samples/p225_003.flac"]); // needs the encoder, which no visit to this page had
  await decoded();
});
