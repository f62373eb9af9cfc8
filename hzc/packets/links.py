"""Ways of packets: one after the other in a file or a pipe, or as datagrams; and their time."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hzc.blocks import Blocks
from hzc.container import FRAME_RATE_HZ, Readable
from hzc.container.fields import Cursor
from hzc.errors import InputError, LimitError, OutputWriteError, UnreadableError
from hzc.packets.decoder import PacketDecoder
from hzc.packets.packet import MAX_BYTES

LENGTH_BYTES = 2
MAX_DATAGRAM_BYTES = 1 << 16
POLL_S = 0.1


def framed(packet: bytes) -> bytes:
    """Return a packet behind its length, as it stands in a stream of bytes."""
    return len(packet).to_bytes(LENGTH_BYTES, "big") + packet


def unframed(stream: Readable) -> Iterator[bytes]:
    """Yield the packets in a stream of bytes; of one that is cut off, what there is.

    Raises:
        LimitError: a length is no packet's.
    """
    cursor = Cursor(stream)
    while length := cursor.take_up_to(LENGTH_BYTES):
        n_bytes = int.from_bytes(length, "big")
        if n_bytes > MAX_BYTES:
            raise LimitError(f"no stream of packets (length {n_bytes} at byte {cursor.offset})")
        yield cursor.take_up_to(n_bytes)


class DatagramSender:
    """Sends each packet as a datagram (UDP)."""

    def __init__(self, host: str, port: int) -> None:
        """Find the receiver.

        Raises:
            OutputWriteError: there is no such host.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            self._address: Any = address
            self._socket = socket.socket(family, kind, protocol)
        except OSError as error:
            raise OutputWriteError(f"cannot be reached ({error.strerror})") from error

    def send(self, packet: bytes) -> None:
        """Send a packet.

        Raises:
            OutputWriteError: the system refused.
        """
        try:
            self._socket.sendto(packet, self._address)
        except ConnectionRefusedError:
            pass  # nobody listens yet
        except OSError as error:
            raise OutputWriteError(f"cannot be reached ({error.strerror})") from error

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


class DatagramReceiver:
    """Receives datagrams (UDP)."""

    def __init__(self, host: str, port: int) -> None:
        """Listen on one of this machine's addresses, or on all for an empty host.

        Raises:
            UnreadableError: the address is not this machine's, or is in use.
        """
        own: Any
        try:
            if not host and socket.has_dualstack_ipv6():
                family, own = socket.AF_INET6, ("::", port)
            else:
                found = socket.getaddrinfo(
                    host or None, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
                )
                family, _, _, _, own = found[0]
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
            if not host and family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind(own)
        except OSError as error:
            raise UnreadableError(f"cannot be listened to ({error.strerror})") from error

    def receive(self, timeout_s: float) -> bytes | None:
        """Return a datagram, or None after a while without one.

        Raises:
            InputError: the system refused.
        """
        self._socket.settimeout(timeout_s)
        try:
            return self._socket.recv(MAX_DATAGRAM_BYTES)
        except TimeoutError:
            return None
        except OSError as error:
            raise InputError(f"cannot be listened to ({error.strerror})") from error

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()


class Pace:
    """Lets packets go no sooner than a live source could have sent them."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Start the time of the recording now."""
        self._clock, self._sleep, self._began_s = clock, sleep, clock()

    def wait_for(self, n_frames: int) -> None:
        """Wait until so many frames have passed."""
        left_s = self._began_s + n_frames / FRAME_RATE_HZ - self._clock()
        if left_s > 0.0:
            self._sleep(left_s)


def played(
    decoder: PacketDecoder,
    receive: Callable[[float], bytes | None],
    *,
    wait_s: float,
    timeout_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> Blocks:
    """Yield the samples of a live stream, float32 [1, sample], no slower than time passes.

    Args:
        decoder: Of one stream.
        receive: Returns a packet, or None after the seconds it is given.
        wait_s: How much later than due a packet may come; then its sound is made up.
        timeout_s: After so long without a valid packet the stream has ended.
        clock: Seconds from any start.
    """
    n_given, began_s, heard_s = 0, None, None
    while not decoder.is_ended:
        packet = receive(POLL_S)
        now_s = clock()
        if packet is not None and decoder.push(packet):
            heard_s = now_s
        elif heard_s is not None and now_s - heard_s > timeout_s:
            break
        x = decoder.read()
        if began_s is None and len(x):
            began_s = now_s
        if began_s is not None:
            n_due = int((now_s - began_s - wait_s) * decoder.sample_rate_hz) - n_given - len(x)
            x = np.concatenate([x, decoder.read(max(0, n_due))])
        n_given += len(x)
        if len(x):
            yield x[None]
    yield decoder.finish()[None]
