/** Tables of the page: what a file is, and what it would cost at other step indexes. */

import type { Opened, Rung } from "./messages.js";

const kbps = (nBytes: number, durationS: number): string => ((8 * nBytes) / durationS / 1000).toFixed(3);

const signed = (n: number): string => String(n).replace("-", "−");

export function durationOf({ nOriginalSamples, header }: Opened): number {
  return nOriginalSamples / header.sampleRateHz;
}

export function showFacts(list: HTMLElement, opened: Opened): void {
  const { header, bytes, nPayloadBytes } = opened;
  const durationS = durationOf(opened);
  const facts: [string, string][] = [
    ["Rate", `${kbps(bytes.length, durationS)} kbit/s`],
    ["Size", `${bytes.length} bytes (${nPayloadBytes} coded, ${bytes.length - nPayloadBytes} framing)`],
    ["Duration", `${durationS.toFixed(2)} s`],
    ["Sample rate", `${header.sampleRateHz} Hz (original), decoded at ${opened.sampleRateHz} Hz`],
    ["Channels", String(header.nChannels)],
    ["Step index", `${signed(header.stepIndex)}${header.stepOffsets ? ", with offsets" : ""}`],
    ["Model", `${header.modelId} (${opened.modelName}), D = ${header.nLatent}`],
    ["Fingerprint", header.fingerprint.toString(16).padStart(4, "0")],
    ["Chunks", `${opened.nChunks}${header.isStreamed ? ", streamed" : ""}`],
  ];
  list.replaceChildren(...facts.flatMap(([term, value]) => [node("dt", term), node("dd", value)]));
}

export function showRungs(
  body: HTMLElement,
  rungs: readonly Rung[],
  durationS: number,
  chosen: number,
  choose: (stepIndex: number) => void,
): void {
  const sorted = [...rungs].sort((a, b) => a.stepIndex - b.stepIndex);
  body.replaceChildren(
    ...sorted.map(({ stepIndex, nBytes }) => {
      const button = node("button", signed(stepIndex)) as HTMLButtonElement;
      button.type = "button";
      button.setAttribute("aria-pressed", String(stepIndex === chosen));
      button.className = stepIndex === chosen ? "on" : "";
      button.onclick = () => choose(stepIndex);
      const first = node("td", "");
      first.append(button);
      const row = node("tr", "");
      row.append(first, node("td", kbps(nBytes, durationS)), node("td", String(nBytes)));
      return row;
    }),
  );
}

function node(tag: string, text: string): HTMLElement {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}
