"""What can go wrong, as exceptions whose text a user can act on: what, where, expected, found, remedy.

Every error that is the user's to mend derives from :class:`GenoseqError`; the command line prints its text after
``genoseq: error:`` and exits with its ``exit_code``. Any other exception is a defect of genoseq.
"""

from __future__ import annotations

import os

__all__ = ["GenoseqError", "IndexFormatError", "InputError", "OutputError", "UsageError"]

Pathlike = str | os.PathLike[str]


class GenoseqError(Exception):
    """An error with a message for the user; ``exit_code`` is the status of the command that met it."""

    exit_code = 1


class UsageError(GenoseqError):
    """Options or arguments that make no sense, alone or together (exit status 2)."""

    exit_code = 2


class InputError(GenoseqError):
    """Data that cannot be used as they are.

    Args:
        message: what was expected and what was found.
        path: the file at fault; ``-`` is standard input.
        record: the record in it, counted from 1.
        line: the line in it, counted from 1.
        remedy: what the user can do about it.

    >>> print(InputError("quality has 99 characters, sequence has 100", path="reads.fq", record=3, line=12))
    reads.fq, record 3 (line 12): quality has 99 characters, sequence has 100
    """

    def __init__(
        self,
        message: str,
        *,
        path: Pathlike | None = None,
        record: int | None = None,
        line: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.path = path
        self.record = record
        self.line = line
        self.remedy = remedy
        super().__init__(self._text())

    def _text(self) -> str:
        where = []
        if self.path is not None:
            where.append("standard input" if str(self.path) == "-" else str(self.path))
        if self.record is not None:
            where.append(f"record {self.record}")
        place = ", ".join(where)
        if self.line is not None:
            place = f"{place} (line {self.line})" if place else f"line {self.line}"
        text = f"{place}: {self.message}" if place else self.message
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with all fields, so that the error survives the way out of a worker process."""
        return _restore, (type(self), self.message, self.path, self.record, self.line, self.remedy)


class IndexFormatError(InputError):
    """A folder or file written by genoseq that is damaged, incomplete or of a version this genoseq cannot read."""


class OutputError(GenoseqError):
    """A result that cannot be written: no such folder, no permission, no space."""


def _restore(
    kind: type[InputError],
    message: str,
    path: Pathlike | None,
    record: int | None,
    line: int | None,
    remedy: str | None,
) -> InputError:
    return kind(message, path=path, record=record, line=line, remedy=remedy)
