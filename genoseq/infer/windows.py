"""Sequences longer than a net takes, as overlapping windows that each answer for a part of it."""

from __future__ import annotations

from typing import NamedTuple

from genoseq.errors import UsageError
from genoseq.infer.tokens import TokenReader

__all__ = ["Window", "Windows", "check_length"]


class Window(NamedTuple):
    """A window of a sequence; all 0-based half-open, in bases of the sequence.

    Attributes:
        start, end: the window.
        core_start, core_end: the part that it answers for; the cores of all windows are side by side.
    """

    start: int
    end: int
    core_start: int
    core_end: int


class Windows(NamedTuple):
    """How sequences are cut: windows of ``size`` bases, neighbours sharing ``overlap``.

    A sequence of at most ``size`` bases is one window. Of longer ones, windows hold whole tokens where all tokens have the same
    length; the last window ends with the sequence and is as long as the others, or shorter by less than a token.

    >>> for window in Windows(6, 2).cut(9, causal=False):
    ...     print(tuple(window))
    (0, 6, 0, 5)
    (3, 9, 5, 9)
    >>> for window in Windows(6, 2).cut(9, causal=True):
    ...     print(tuple(window))
    (0, 6, 0, 6)
    (3, 9, 6, 9)
    """

    size: int
    overlap: int = 0

    def check(self) -> None:
        """Refuse sizes that make no sense.

        Raises:
            UsageError: no size, or an overlap that is none.
        """
        if self.size < 1:
            raise UsageError(f"windows of {self.size} bases: give at least 1")
        if not 0 <= self.overlap < self.size:
            raise UsageError(f"an overlap of {self.overlap} bases: give 0 or more, and less than the window of {self.size}")

    def of_tokens(self, length: int, reader: TokenReader, *, causal: bool) -> list[Window]:
        """The windows of a sequence of ``length`` bases whose tokens ``reader`` makes; see `cut`.

        Raises:
            UsageError: windows that would lose tokens, or change them.
        """
        if length > self.size and reader.from_end:
            raise UsageError("this model's tokens are counted from the end of a sequence, and windows would change them")
        return self.cut(length, causal=causal, step=reader.step or 1, reach=reader.longest if reader.overlapping else 1)

    def cut(self, length: int, *, causal: bool, step: int = 1, reach: int = 1) -> list[Window]:
        """The windows of a sequence of ``length`` bases.

        Args:
            length: bases.
            step: windows start at multiples of this, so that tokens of several bases are cut as in the whole sequence.
            causal: the net sees only what is before a position: a window answers for what it shares with the one before
                only if that is needed; the others share the overlap half and half, so that each base is answered for by the
                window in whose middle it is.
            reach: bases of a token where tokens overlap, else 1: a window has none that begins in its last ``reach - 1`` bases.

        Raises:
            UsageError: windows too short for a token, or tokens that no window would have.
        """
        if length <= self.size:
            return [Window(0, length, 0, length)]
        size = self.size // step * step
        if size < max(step, reach):
            raise UsageError(
                f"windows of {self.size} bases: the tokens of this model have {max(step, reach)}, give at least that"
            )
        if self.overlap < reach - 1:
            raise UsageError(
                f"an overlap of {self.overlap} bases: the tokens of this model overlap, and those from one window to the next "
                f"would be lost; give at least {reach - 1}"
            )
        if size < self.overlap + step:
            raise UsageError(
                f"an overlap of {self.overlap} bases: windows of {self.size} hold {size} bases in whole tokens, of which at "
                f"least {step} must be new"
            )
        stride = (size - self.overlap) // step * step
        final = -(-(length - size) // step) * step
        starts = [*range(0, final, stride), final]
        windows = []
        core = 0
        for number, start in enumerate(starts):
            end = min(start + size, length)
            last = number == len(starts) - 1
            after = end - reach + 1  # behind the last token's beginning
            until = length if last else after if causal else (after + starts[number + 1] + 1) // 2
            windows.append(Window(start, end, core, until))
            core = until
        return windows


def check_length(
    tokens: int, reader: TokenReader, limit: int | None, name: str, *, special: int, window: int | None = None
) -> None:
    """Refuse a sequence, or a window of it, that the net cannot take at once.

    Args:
        tokens: of the sequence.
        reader: made them.
        limit: tokens that the net takes.
        name: of the sequence.
        special: special tokens that go with it.
        window: letters of the windows that it is cut into already, if it is.

    Raises:
        UsageError: says the limit and what to do.
    """
    whole = tokens + special
    if limit is not None and whole > limit:
        counted = f"{whole:,} tokens ({special} of them special)" if special else f"{whole:,} tokens"
        advice = (limit - special) * (1 if reader.overlapping else reader.step or 1)
        if window is not None:
            raise UsageError(
                f"windows of {window:,} letters are too long: one of sequence {name!r} has {counted}, this net takes at most "
                f"{limit:,}; give --window {advice} or less"
            )
        raise UsageError(
            f"sequence {name!r} has {counted}, this net takes at most {limit:,}: "
            f"cut it into windows (--window {advice}, with --overlap), or use a net for longer sequences"
        )
