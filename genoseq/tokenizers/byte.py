"""One token per byte: Evo's and H-Net's vocabularies.

Every byte of the UTF-8 text is its own id, and nothing is added, so that upper and lower case, U, IUPAC codes, ``*``, ``-`` and
any other character are all told apart. Evo was trained on upper case: pass ``upper=True`` for soft-masked genomes.

| | ids | end | padding |
|---|---|---|---|
| Evo, Evo 2 (vocabulary 512) | the byte; 256 to 511 are never given | 0 | 1, on the right |
| H-Net (vocabulary 256) | the byte | 255 (start 254) | 0, on the right: H-Net itself defines none |

Sources: CharLevelTokenizer of togethercomputer/stripedhyena and evo-design/evo, ByteTokenizer of goombalab/hnet. Theirs
decode ids below 32 as a space; here decoding is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError
from genoseq.tokenizers.base import SequenceTokenizer
from genoseq.tokenizers.letters import AnySequence, check_known, letters_of

__all__ = ["EvoTokenizer", "HNetTokenizer"]

_PRINTABLE = bytes(range(32, 127))


def _name(byte: int) -> str:
    """Token of an id: the character if it is ASCII, else a name such as ``<0xFE>`` that no sequence holds."""
    return chr(byte) if byte < 128 else f"<0x{byte:02X}>"


class _ByteTokenizer(SequenceTokenizer):
    def __init__(self, *, size: int, upper: bool = False, strict: bool = False, **kwargs: Any) -> None:
        self.upper = upper
        super().__init__(
            tokens=[_name(number) for number in range(size)], strict=strict, upper=upper, **{"padding_side": "right", **kwargs}
        )

    def _letters(self, sequence: AnySequence) -> bytes:
        if isinstance(sequence, str):
            try:
                return sequence.encode("utf-8")
            except UnicodeEncodeError as error:
                found = f"position {error.start} (counted from 0) holds {sequence[error.start]!r}"
                raise InputError(f"{found}, half of a surrogate pair, which is no character") from None
        if isinstance(sequence, (bytes, bytearray, memoryview)):
            return bytes(sequence)
        return letters_of(sequence)

    def _encode_letters(self, letters: bytes) -> NDArray[np.uint8]:
        if self.strict:
            check_known(letters, _PRINTABLE, alphabet="printable ASCII", shown=["space to ~"])
        return np.frombuffer(letters.upper() if self.upper else letters, np.uint8)

    def _spans_of_letters(self, letters: bytes) -> NDArray[np.int64]:
        """What each token covers, in bytes of the text."""
        starts = np.arange(len(letters), dtype=np.int64)
        return np.stack([starts, starts + 1], axis=1)

    def _special_in(self, text: str) -> list[Any]:
        """Only tokens that a user added: the names of this vocabulary are no text."""
        return [match for match in super()._special_in(text) if self._added_tokens_encoder[match[0]] >= len(self._tokens)]

    def _bytes_of(self, number: int, token: str) -> bytes:
        return bytes([number]) if number < 256 else token.encode()

    def _text(self, letters: bytes) -> str:
        return letters.decode("utf-8", errors="replace")

    def _identity(self) -> dict[str, Any]:
        return {"strict": self.strict, "upper": self.upper}


class EvoTokenizer(_ByteTokenizer):
    """Evo's and Evo 2's bytes: vocabulary 512, end of text 0, padding 1, nothing added.

    Args:
        upper: upper-case the text first.
        strict: refuse an empty text and anything but printable ASCII.

    >>> EvoTokenizer()("ACGT")["input_ids"]
    [65, 67, 71, 84]
    """

    def __init__(self, *, upper: bool = False, strict: bool = False, **kwargs: Any) -> None:
        kwargs = {"eos_token": _name(0), "pad_token": _name(1), **kwargs}
        super().__init__(size=512, upper=upper, strict=strict, **kwargs)


class HNetTokenizer(_ByteTokenizer):
    """H-Net's bytes: vocabulary 256, start 254, end 255, which no UTF-8 text holds.

    Args:
        add_bos: put 254 before each text, as H-Net does to generate.
        add_eos: put 255 after each text.
        upper: upper-case the text first.
        strict: refuse an empty text and anything but printable ASCII.

    >>> HNetTokenizer(add_bos=True)("ACGT")["input_ids"]
    [254, 65, 67, 71, 84]
    """

    def __init__(
        self, *, add_bos: bool = False, add_eos: bool = False, upper: bool = False, strict: bool = False, **kwargs: Any
    ) -> None:
        self.add_bos, self.add_eos = add_bos, add_eos
        names = {"bos_token": _name(254), "eos_token": _name(255), "pad_token": _name(0)}
        kwargs = {**names, **kwargs, "add_bos": add_bos, "add_eos": add_eos}
        before, after = [_name(254)] if add_bos else [], [_name(255)] if add_eos else []
        super().__init__(size=256, upper=upper, strict=strict, before=before, after=after, **kwargs)
