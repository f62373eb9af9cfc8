"""Talk over a serial modem: packets in COBS frames, each ended by a zero byte.

pip install hzc cobs pyserial sounddevice

    serial_talk.py send /dev/ttyUSB0                    from the microphone, until Ctrl-C
    serial_talk.py receive /dev/ttyUSB0                 to the loudspeaker
    serial_talk.py send /dev/ttyUSB0 --wav talk.wav     from a file
    serial_talk.py receive /dev/ttyUSB0 --wav out.wav   into a file, until the sender ends
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import sleep
from typing import BinaryIO

import click
import numpy as np
import soundfile
from cobs import cobs

import hzc
from hzc.packets.decoder import PacketDecoder

RATE_HZ = 16_000
DELAY_S = 2.0
"""The next packet may come so much later than the first one ends."""
MAX_FRAME_BYTES = 1500
"""What is longer is noise of the line."""


def send(port: BinaryIO, packets: Iterable[bytes]) -> None:
    """Write packets to a port."""
    for packet in packets:
        port.write(cobs.encode(packet) + b"\0")
        port.flush()


def received(port: BinaryIO) -> Iterator[bytes]:
    """Yield what may be packets; b"" where nothing has come for as long as the port waits."""
    frame = bytearray()
    while True:
        byte = port.read(1)
        if byte == b"\0":
            with suppress(cobs.DecodeError):
                yield cobs.decode(bytes(frame))
            frame.clear()
        elif byte and len(frame) < MAX_FRAME_BYTES:
            frame += byte
        elif not byte:
            yield b""


def microphone() -> Iterator[np.ndarray]:
    """Yield sound for ever, a tenth of a second at a time."""
    import sounddevice

    with sounddevice.InputStream(RATE_HZ, channels=1) as stream:
        while True:
            yield stream.read(RATE_HZ // 10)[0][:, 0]


def play(port: BinaryIO, decoder: PacketDecoder) -> None:
    """Play what comes; the loudspeaker has the clock, and gets a tenth of a second at a time."""
    import sounddevice

    waiting: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=lambda: deque(map(waiting.put, received(port)), 0), daemon=True).start()
    while not decoder.push(waiting.get()):  # the clock starts with the first packet
        pass
    sleep(DELAY_S)
    with sounddevice.OutputStream(RATE_HZ, channels=1) as stream:
        while not decoder.is_ended:
            while not waiting.empty():
                decoder.push(waiting.get())
            stream.write(decoder.read(RATE_HZ // 10)[:, None])
        stream.write(decoder.finish()[:, None])


def record(port: BinaryIO, decoder: PacketDecoder, path: str) -> None:
    """Write what comes into a file."""
    with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
        for packet in received(port):
            if packet:
                decoder.push(packet)
                file.write(decoder.read())
            if decoder.is_ended:
                break
        file.write(decoder.finish())


@click.command()
@click.argument("way", type=click.Choice(["send", "receive"]))
@click.argument("device")
@click.option("--baud", default=9600, show_default=True)
@click.option("--max-bytes", default=240, show_default=True, help="Of a packet.")
@click.option("--wav", help="A file in place of microphone or loudspeaker.")
def main(way: str, device: str, baud: int, max_bytes: int, wav: str | None) -> None:
    """Talk over a serial port."""
    import serial

    codec = hzc.load()
    with serial.serial_for_url(device, baud, timeout=1.0) as port:
        if way == "send":
            blocks, rate_hz = microphone(), RATE_HZ
            if wav:
                samples, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
                blocks = iter([samples.T])
            send(port, codec.packets(blocks, rate_hz, max_bytes=max_bytes))
        elif wav:
            record(port, codec.packet_decoder(), wav)
        else:
            play(port, codec.packet_decoder())


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
