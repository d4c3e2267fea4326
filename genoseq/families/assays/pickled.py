"""Plain data out of a pickle that is never allowed to run anything: numbers, texts, lists, dicts and arrays of numbers.

A pickle is a program whose instructions name functions to call. Here the names that NumPy's arrays need lead to stand-ins of our
own, which only keep what they are given; every other name is an error. No attribute of anything can be set, and no code of
NumPy or of any other package is called before the data are checked.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np

__all__ = ["PickleError", "plain_data"]

DEPTH = 50
KINDS = "biufcSU"  # bool, whole and real numbers, bytes, text


class PickleError(ValueError):
    """A pickle that is damaged, or holds something else than plain data."""


class _Fixed:
    """Something that a pickle may name and not change."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise PickleError("sets attributes of a function")


class _Type(_Fixed):
    """Stands for ``numpy.ndarray``, which pickles name and never call."""

    __slots__ = ()


class _Array:
    """An array before it is one: what its state says."""

    __slots__ = ("state",)

    def __init__(self) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def value(self) -> np.ndarray[Any, Any]:
        if not isinstance(self.state, tuple) or len(self.state) not in (4, 5):
            raise PickleError("holds an array without numbers")
        shape, kind, by_columns, raw = self.state[-4:]
        if isinstance(raw, str):  # bytes as Python 2 has them
            raw = raw.encode("latin-1")
        if not isinstance(kind, _Kind) or not isinstance(raw, bytes) or not isinstance(shape, tuple):
            raise PickleError("holds an array of something else than numbers")
        if not all(isinstance(one, int) and one >= 0 for one in shape):
            raise PickleError(f"holds an array of shape {shape!r}")
        flat = np.frombuffer(raw, kind.value())
        if flat.size != np.prod(shape, dtype=object):
            raise PickleError(f"holds an array of shape {shape} with {flat.size} numbers")
        return flat.reshape(shape, order="F" if by_columns else "C").copy()


class _Kind:
    """The type of an array's numbers: its code, and the order of its bytes."""

    __slots__ = ("code", "order")

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise PickleError("holds a type of numbers that is none")
        self.order = state[1]

    def value(self) -> np.dtype[Any]:
        code = self.code.lstrip("<>|=")
        if code[:1] not in KINDS or not code[1:].isdigit() or not 0 < int(code[1:]) < 1 << 16:
            raise PickleError(f"holds an array of type {self.code!r}, expected numbers")
        try:
            return np.dtype(f"{self.order}{code}")
        except TypeError as error:
            raise PickleError(f"holds an array of type {self.code!r}, expected numbers") from error


class _Reconstruct(_Fixed):
    __slots__ = ()

    def __call__(self, *given: Any) -> _Array:
        return _Array()


class _FromBuffer(_Fixed):
    """Protocol 5: the bytes first, then their type, shape and order."""

    __slots__ = ()

    def __call__(self, raw: Any, kind: Any, shape: Any, order: Any) -> _Array:
        found = _Array()
        found.state = (shape, kind, order == "F", bytes(raw) if isinstance(raw, bytearray) else raw)
        return found


class _MakeKind(_Fixed):
    __slots__ = ()

    def __call__(self, code: Any, *given: Any) -> _Kind:
        if not isinstance(code, str):
            raise PickleError("holds an array of something else than numbers")
        return _Kind(code)


class _Scalar(_Fixed):
    __slots__ = ()

    def __call__(self, kind: Any, raw: Any) -> _Array:
        found = _Array()
        found.state = ((), kind, False, raw)
        return found


class _Encode(_Fixed):
    """``codecs.encode`` of bytes, as Python 3 writes them for Python 2."""

    __slots__ = ()

    def __call__(self, text: Any, codec: Any = None) -> bytes:
        if not isinstance(text, str) or codec not in ("latin1", "latin-1"):
            raise PickleError("wants to encode something else than bytes")
        return text.encode("latin-1")


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Type(),
    ("numpy", "dtype"): _MakeKind(),
    ("_codecs", "encode"): _Encode(),
}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Reconstruct()
    _NAMES[f"{_core}.multiarray", "scalar"] = _Scalar()
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _FromBuffer()


class _PlainUnpickler(pickle.Unpickler):
    """Knows the names that arrays need, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise PickleError(f"wants to run {module}.{name}, which reading data never needs: nothing of it was run") from None


def plain_data(raw: bytes) -> Any:
    """The data in a pickle: None, bool, int, float, str, bytes, list, tuple, dict of these, and NumPy arrays and numbers.

    Raises:
        PickleError: damaged, or it names any other function or class; nothing of it has been run.

    >>> plain_data(pickle.dumps({"primary": "MKT", "label": np.array([1.5])}))
    {'primary': 'MKT', 'label': array([1.5])}
    >>> plain_data(b"cos\\nsystem\\n(S'true'\\ntR.")
    Traceback (most recent call last):
    ...
    genoseq.families.assays.pickled.PickleError: wants to run os.system, which reading data never needs: nothing of it was run
    """
    try:
        return _plain(_PlainUnpickler(io.BytesIO(raw), encoding="latin-1").load(), 0)
    except PickleError:
        raise
    except Exception as error:  # a damaged pickle fails in as many ways as there are exceptions
        raise PickleError(f"is no pickle, or is damaged ({type(error).__name__}: {error})") from error


def _plain(value: Any, depth: int) -> Any:
    """The value with arrays for their stand-ins; anything else that is not plain is an error."""
    if depth > DEPTH:
        raise PickleError(f"is nested deeper than {DEPTH}")
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return value
    if isinstance(value, _Array):
        return value.value()
    if isinstance(value, list | tuple):
        return type(value)([_plain(one, depth + 1) for one in value])
    if isinstance(value, dict):
        return {_plain(key, depth + 1): _plain(one, depth + 1) for key, one in value.items()}
    raise PickleError(f"holds a {type(value).__name__}, expected plain data")
