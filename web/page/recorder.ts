/** Records from the microphone. */

const PCM = "audio/webm;codecs=pcm";
const BITS_PER_SECOND = 256_000;

export interface Recording {
  /** Ends the recording and returns it. */
  stop(): Promise<Blob>;
}

/** Throws an Error where there is no microphone or no permission. */
export async function startRecording(): Promise<Recording> {
  if (navigator.mediaDevices === undefined) throw new Error("browsers allow it by https only");
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const format = MediaRecorder.isTypeSupported(PCM) ? { mimeType: PCM } : { audioBitsPerSecond: BITS_PER_SECOND };
  const recorder = new MediaRecorder(stream, format);
  const parts: Blob[] = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  return {
    async stop() {
      recorder.stop();
      await ended;
      stream.getTracks().forEach((track) => track.stop());
      return new Blob(parts);
    },
  };
}
