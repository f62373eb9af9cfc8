"""What `hzc send` and `hzc receive` share: addresses, and signals that end them cleanly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from hzc.runner import ENDING_SIGNALS

Address = tuple[str, int]
"""Host, empty for any of this machine's own, and port."""


class AddressType(click.ParamType):  # type: ignore[type-arg]
    """HOST:PORT, or :PORT; an IPv6 address stands in brackets."""

    name = "address"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        """Return host and port."""
        host, colon, port = str(value).rpartition(":")
        if not (colon and port.isdecimal() and 0 < int(port) < 1 << 16):
            self.fail(f"{value!r} is not HOST:PORT", param, ctx)
        return host.removeprefix("[").removesuffix("]"), int(port)


class Ended(Exception):
    """A signal came while nothing was being done."""


class Ending:
    """Lets signals end a wait, but never work that is half done; what is ignored stays ignored."""

    def __init__(self) -> None:
        """Leave the signals alone for now."""
        self.exit_code: int | None = None
        """Of the process, once a signal has come."""
        self._is_waiting = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Ending:
        """Take the signals over."""
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Allow a signal to end what is done here.

        Raises:
            Ended: one has come.
        """
        self._is_waiting = True
        try:
            if self.exit_code is not None:
                raise Ended
            yield
        finally:
            self._is_waiting = False

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = 128 + number
        if self._is_waiting:
            self._is_waiting = False
            raise Ended
