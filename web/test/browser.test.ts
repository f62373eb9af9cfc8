/** The promises of the page, in headless Chromium; they need web/site and the networks. */

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";

import { Codec } from "../src/codec.js";
import { unpack } from "../src/container.js";
import { Model } from "../src/model.js";
import { loadTrunk } from "../src/onnx.js";
import { hasModels, modelsHint, read, readFlac, readModel, snrDb } from "./repository.js";

const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
const site = new URL("../../site/", import.meta.url);
const TYPES: Record<string, string> = {
  html: "text/html", js: "text/javascript", css: "text/css", wasm: "application/wasm",
};
const skip =
  (!hasModels && modelsHint) ||
  (!existsSync(CHROMIUM) && "there is no Chromium") ||
  (!existsSync(new URL("index.html", site)) && "the page is not built");

let server: Server;
let browser: Browser;
let page: Page;

before(async () => {
  if (skip) return;
  server = createServer((request, response) => {
    const path = new URL(request.url!, "http://localhost").pathname.slice(1) || "index.html";
    const file = new URL(path, site);
    if (!file.href.startsWith(site.href) || !existsSync(file)) return response.writeHead(404).end();
    const bytes = readFileSync(file);
    const type = TYPES[path.replace(/.*\./, "")] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type, "Content-Length": bytes.length }).end(bytes);
    return;
  }).listen(0, "127.0.0.1");
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      "--autoplay-policy=no-user-gesture-required",
      "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    ],
  });
  page = await browser.newPage({ viewport: { width: 800, height: 700 } });
  page.setDefaultTimeout(60_000);
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await status("Ready.");
});

after(async () => {
  await browser?.close();
  if (server?.listening) server.close();
});

const status = (text: string): Promise<unknown> =>
  page.waitForFunction((wanted) => document.getElementById("status")!.textContent === wanted, text);

/** Drops a file on the page, as from a folder. */
async function drop(name: string, bytes: Uint8Array): Promise<void> {
  const data = await page.evaluateHandle(
    ([fileName, content]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(content)], fileName));
      return transfer;
    },
    [name, [...bytes]] as const,
  );
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

async function download(button: string): Promise<Buffer> {
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click(button)]);
  return readFileSync(await saved.path());
}

const seconds = async (): Promise<number> => Number(await page.inputValue("#seek"));
const wait = (ms: number): Promise<unknown> => page.waitForTimeout(ms);

test("a file that is dropped is shown, decoded and saved as WAV", { skip }, async () => {
  await drop("speech.hzc", read("formats/vectors/valid/speech.hzc"));
  await page.waitForSelector("#save-wav:enabled");
  const facts = await page.textContent("#facts");
  for (const fact of ["speech.hzc", "5.51 s", "630 bytes", "16000 Hz"]) assert.ok(facts!.includes(fact));
  const wav = await download("#save-wav");
  const samples = Float32Array.from({ length: 88160 }, (_, i) => wav.readInt16LE(44 + 2 * i) / 32768);
  const reference = await readFlac("formats/vectors/speech-decoded.flac");
  assert.equal(wav.length, 44 + 2 * samples.length);
  assert.ok(snrDb(reference.channels[0]!, samples) >= 55);
  if (process.env["SCREENSHOT"]) await page.screenshot({ path: process.env["SCREENSHOT"] });
});

test("it plays, pauses and seeks by keyboard", { skip }, async () => {
  await page.focus("#play");
  await page.keyboard.press("Space");
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
});

test("a recording from the microphone becomes a .hzc file", { skip }, async () => {
  await page.click("#record");
  await wait(2500);
  await page.click("#record");
  await page.waitForSelector("#save-wav:enabled");
  const bytes = new Uint8Array(await download("#save-hzc"));
  const file = unpack(bytes);
  const durationS = file.nSamples / file.header.sampleRateHz;
  assert.ok(durationS > 1 && durationS < 10, `${durationS} s`);
  const codec = new Codec(
    new Model(read("hzc/weights/base.safetensors")),
    await loadTrunk(readModel("synthesis.onnx")),
  );
  const { channels } = await codec.decode(bytes);
  assert.ok(channels[0]!.some((x) => Math.abs(x) > 0.001));
});

test("a damaged file shows its error, and the next one opens", { skip }, async () => {
  await drop("damaged.hzc", read("formats/vectors/faulty/record-crc.hzc"));
  await page.waitForFunction(() => document.getElementById("problem")!.textContent !== "");
  assert.match((await page.textContent("#problem"))!, /^Corrupt: /);
  await drop("hop.hzc", read("formats/vectors/valid/hop.hzc"));
  await page.waitForSelector("#save-wav:enabled");
  assert.equal(await page.textContent("#problem"), "");
});

test("a second visit needs no network", { skip }, async () => {
  server.closeAllConnections();
  server.close();
  await page.reload();
  await status("Ready.");
  await drop("hop.hzc", read("formats/vectors/valid/hop.hzc"));
  await page.waitForSelector("#save-wav:enabled");
});
