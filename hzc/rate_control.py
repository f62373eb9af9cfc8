"""The rate that the user asks for: which steps and which rounding come nearest to it.

    latents, kept ── code at a dozen settings ── the largest file that is small enough

A setting is a step index and a level of rounding. A step index changes the rate by 3 to 5 %;
levels lie in between. Explicit step offsets (formats/hzc-1.md, section 4.3) would, too, but cost a
byte for each dimension: 2.6 % of 10 s at 1 kbit/s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from math import floor
from typing import TypeVar

from hzc.coding.rounding import N_LEVELS
from hzc.container import MAX_STEP_INDEX
from hzc.errors import RateError
from hzc.options import Target

TOLERANCE = 0.02
"""How far under the rate asked for a file may stay, as a share of it."""
NEAR = 0.01
"""A step index that stays no further under the limit is used without rounding."""
N_REFINEMENTS = 3
"""Step indexes that are tried at most where latents are refined for each."""

L = TypeVar("L")


@dataclass(frozen=True)
class Setting:
    """How latents become symbols."""

    step_index: int
    level: int = 0
    """Of rounding, 0 … N_LEVELS; see `hzc.coding.rounding`."""


Size = Callable[[Setting], int]
"""Bytes of the file that a setting gives."""


@dataclass(frozen=True)
class Aim:
    """A target for one recording."""

    target: Target
    duration_s: float
    step_index: int
    """What is used where no rate is asked for, and the file is small enough."""

    @property
    def finest(self) -> int:
        """Finest step index to use."""
        return self.step_index if self.target.kbps is None else -MAX_STEP_INDEX

    @property
    def limit_bytes(self) -> int:
        """Bytes that the file may have."""
        max_bytes = self.target.max_bytes
        return self._rate_bytes if max_bytes is None else min(self._rate_bytes, max_bytes)

    @property
    def is_for_rate(self) -> bool:
        """Whether the rate decides, not `max_bytes`."""
        return self._rate_bytes == self.limit_bytes

    @property
    def _rate_bytes(self) -> int:
        kbps = self.target.kbps
        return sys.maxsize if kbps is None else floor(125.0 * kbps * self.duration_s + 1e-6)

    def out_of_reach(self, size: Size) -> RateError:
        """Return the error that says what can be reached."""
        indexes = range(-MAX_STEP_INDEX, MAX_STEP_INDEX + 1, 16)
        low, high = (pick(size(Setting(index)) for index in indexes) for pick in (min, max))
        if not self.is_for_rate:
            return RateError(f"cannot be coded in {self.limit_bytes} bytes ({low} is the least)")
        low_kbps, high_kbps = (n_bytes / self.duration_s / 125.0 for n_bytes in (low, high))
        return RateError(
            f"cannot be coded at {self.target.kbps:g} kbps "
            f"({low_kbps:.3f} to {high_kbps:.3f} can be reached)"
        )


def first(holds: Callable[[int], bool], start: int, last: int) -> int:
    """Return the first number from which on something holds, by bisection; last + 1 if none."""
    end = last + 1
    while start < end:
        middle = (start + end) // 2
        if holds(middle):
            end = middle
        else:
            start = middle + 1
    return start


def choose_setting(size: Size, aim: Aim) -> Setting:
    """Return the setting of the largest file that is small enough.

    Sizes are compared with the limit, or a share of it, and nothing else. So the search goes the
    same way for two limits until a file lies between them: a higher one never gives a smaller file.

    Args:
        size: What a setting costs; called for about a dozen of them.
        aim: What is asked for.

    Raises:
        RateError: the rate or the size is out of reach.
    """
    size = cache(size)
    if aim.target.kbps is None and size(Setting(aim.finest)) <= aim.limit_bytes:
        return Setting(aim.finest)
    best = _largest(size, aim.limit_bytes, aim.finest)
    if best is None:
        raise aim.out_of_reach(size)
    is_low = aim.is_for_rate and size(best) < (1.0 - TOLERANCE) * aim.limit_bytes
    if is_low and size(Setting(aim.finest)) <= aim.limit_bytes:
        raise aim.out_of_reach(size)
    return best


def choose_refined(
    latents: L, size: Callable[[L, Setting], int], refine: Callable[[L, int], L], aim: Aim
) -> tuple[L, Setting]:
    """Return latents refined for a step index, and the setting to code them with.

    Refining changes what latents cost. So the limit of the unrefined ones is moved by as much, and
    the step index is chosen again. Where no refined file is small enough, the latents stay.

    Args:
        latents: As the networks made them.
        size: What latents cost at a setting.
        refine: Returns the latents made better for a step index; slow.
        aim: What is asked for.

    Raises:
        RateError: as `choose_setting`.
    """
    plain_size = cache(partial(size, latents))
    limit_bytes, plain = aim.limit_bytes, choose_setting(plain_size, aim)
    best, best_bytes = (latents, plain), 0
    tried: set[int] = set()
    following: Setting | None = plain
    while following and following.step_index not in tried and len(tried) < N_REFINEMENTS:
        index = following.step_index
        tried.add(index)
        refined = refine(latents, index)
        refined_size = cache(partial(size, refined))
        setting = _rounded(refined_size, index, limit_bytes)
        if setting and refined_size(setting) > best_bytes:
            best, best_bytes = (refined, setting), refined_size(setting)
        moved = limit_bytes * plain_size(Setting(index)) // refined_size(Setting(index))
        following = _largest(plain_size, moved, aim.finest)
    return best


def _rounded(size: Size, step_index: int, limit_bytes: int) -> Setting | None:
    """Return the least rounding at a step index that gives a small enough file."""
    if size(Setting(step_index)) <= limit_bytes:
        return Setting(step_index)
    level = first(lambda n: size(Setting(step_index, n)) <= limit_bytes, 1, N_LEVELS)
    return Setting(step_index, level) if level <= N_LEVELS else None


def _largest(size: Size, limit_bytes: int, finest: int) -> Setting | None:
    """Return the setting of the largest file within a limit that bisection finds."""
    tried: dict[Setting, int] = {}

    def fits(setting: Setting) -> bool:
        tried[setting] = size(setting)
        return tried[setting] <= limit_bytes

    def best() -> Setting | None:
        fitting = [setting for setting, n_bytes in tried.items() if n_bytes <= limit_bytes]
        return max(fitting, key=tried.__getitem__, default=None)

    index = first(lambda n: fits(Setting(n)), finest, MAX_STEP_INDEX)
    plain = best()
    if index > finest and (plain is None or tried[plain] < (1.0 - NEAR) * limit_bytes):
        first(lambda n: fits(Setting(index - 1, n)), 1, N_LEVELS)
    return best()
