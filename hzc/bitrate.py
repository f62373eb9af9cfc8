"""Rates from file bytes, header included; no model needed."""

from __future__ import annotations

from dataclasses import dataclass

from hzc.container import Container
from hzc.options import Target

FLOAT_BITS = 32


@dataclass(frozen=True)
class Rate:
    """Measured size and rate of one file, or of several together."""

    n_bytes: int
    duration_s: float
    payload_bytes: int

    @property
    def bitrate_kbps(self) -> float:
        """8 × file bytes / seconds / 1000."""
        return 8.0 * self.n_bytes / self.duration_s / 1000.0

    @property
    def bytes_per_s(self) -> float:
        """File bytes per second of audio."""
        return self.n_bytes / self.duration_s

    @property
    def overhead_bytes(self) -> int:
        """Everything but coded symbols: header, gains, lengths, checksums."""
        return self.n_bytes - self.payload_bytes

    @property
    def overhead_share(self) -> float:
        """Overhead as a share of the file, 0 … 1."""
        return self.overhead_bytes / self.n_bytes

    def line(self) -> str:
        """Return the figures for people.

        >>> Rate(1178, 10.02, 1157).line()
        '0.941 kbps  117.6 B/s  1,178 B  10.02 s  (header 21 B, 1.8 %)'
        """
        return (
            f"{self.bitrate_kbps:.3f} kbps  {self.bytes_per_s:.1f} B/s  {self.n_bytes:,} B  "
            f"{self.duration_s:.2f} s  (header {self.overhead_bytes} B, "
            f"{100 * self.overhead_share:.1f} %)"
        )

    def values(self) -> dict[str, float | int]:
        """Return the figures for programs."""
        return {
            "bitrate_kbps": round(self.bitrate_kbps, 6),
            "bytes_per_s": round(self.bytes_per_s, 4),
            "n_bytes": self.n_bytes,
            "duration_s": round(self.duration_s, 6),
            "header_bytes": self.overhead_bytes,
            "header_share": round(self.overhead_share, 6),
        }


def compared(rate: Rate, target: Target) -> tuple[str, dict[str, float | int]]:
    """Return what was asked for next to what came of it, for people and for programs.

    >>> compared(Rate(1178, 10.02, 1157), Target(0.95, 1200))
    ('  (asked: 0.95 kbps, -1.0 %; 1,200 B at most)', {'asked_kbps': 0.95, 'asked_max_bytes': 1200})
    """
    texts: list[str] = []
    values: dict[str, float | int] = {}
    if target.kbps is not None:
        texts.append(f"{target.kbps:g} kbps, {100 * (rate.bitrate_kbps / target.kbps - 1):+.1f} %")
        values["asked_kbps"] = target.kbps
    if target.max_bytes is not None:
        texts.append(f"{target.max_bytes:,} B at most")
        values["asked_max_bytes"] = target.max_bytes
    return f"  (asked: {'; '.join(texts)})" if texts else "", values


def measure(parsed: Container, n_bytes: int) -> Rate:
    """Return the rate of a parsed file of n_bytes."""
    return Rate(n_bytes, parsed.header.duration_s, parsed.payload_bytes)


def total(rates: list[Rate]) -> Rate:
    """Return the rate of several files together."""
    return Rate(
        sum(r.n_bytes for r in rates),
        sum(r.duration_s for r in rates),
        sum(r.payload_bytes for r in rates),
    )


def ladder(
    parsed: Container, n_bytes: int, ideal_bits: float, kl_bits: float | None = None
) -> dict[str, float]:
    """Return bits per second of every stage from the raw latent to the file.

    Args:
        parsed: The file's header and chunks.
        n_bytes: Size of the file.
        ideal_bits: Code length of its symbols under the tables.
        kl_bits: KL divergence of the posterior from the prior, where the audio is at hand.

    Returns:
        Name of the stage to bit/s, from the latent on: nominal, kl, ideal, payload, file.
    """
    header = parsed.header
    nominal = header.n_frames * header.n_channels * header.n_latent * FLOAT_BITS
    bits = {"nominal": float(nominal)}
    if kl_bits is not None:
        bits["kl"] = kl_bits
    bits |= {"ideal": ideal_bits, "payload": 8.0 * parsed.payload_bytes, "file": 8.0 * n_bytes}
    return {rung: value / header.duration_s for rung, value in bits.items()}
