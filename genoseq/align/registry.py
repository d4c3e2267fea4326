"""Which index a user means: a folder, a registered name, a FASTA to build from, or the default."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from genoseq.align.index import MANIFEST, Index, build_index, check_replaceable, is_index
from genoseq.embed.window import WindowEncoder
from genoseq.errors import GenoseqError, IndexFormatError, InputError, OutputError
from genoseq.kernels import cache_folder
from genoseq.locks import locked
from genoseq.log import announce
from genoseq.outputs import describe_os_error, refusal, whole_file

__all__ = ["Registry", "data_folder", "find_index", "index_folder", "remove_index"]

log = logging.getLogger(__name__)


def data_folder() -> Path:
    """Folder for what a user wants to keep: ``$GENOSEQ_HOME``, else ``$XDG_DATA_HOME/genoseq`` or ``~/.local/share/genoseq``.

    Raises:
        OutputError: the user has no home folder and chose none.
    """
    chosen = os.environ.get("GENOSEQ_HOME")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_DATA_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "share") / "genoseq"
    except RuntimeError as error:
        raise OutputError("this user has no home folder; set GENOSEQ_HOME to a folder for indexes") from error


def index_folder(name: str) -> Path:
    """Where the index of this name lies unless a user chose another folder for it."""
    return data_folder() / "indexes" / name


@dataclass(frozen=True)
class Registry:
    """Names of a user's indexes, kept in ``indexes.json``.

    Attributes:
        paths: folder of each name, in the order they were registered.
        default: the name used where none is given, or None.
    """

    paths: dict[str, str]
    default: str | None

    @staticmethod
    def file() -> Path:
        """Where the registry is kept."""
        return data_folder() / "indexes.json"

    @classmethod
    def load(cls) -> Registry:
        """Read it; an absent file is an empty registry.

        Raises:
            InputError: the file is damaged.
        """
        try:
            stored = json.loads(cls.file().read_text())
            return cls({str(name): str(path) for name, path in stored["indexes"].items()}, stored["default"])
        except (FileNotFoundError, NotADirectoryError):
            return cls({}, None)
        except OSError as error:
            raise InputError(refusal(error), path=cls.file()) from error
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"cannot be read ({error})", path=cls.file(), remedy="delete it and register anew") from error

    @classmethod
    def change(cls, how: Callable[[Registry], Registry]) -> Registry:
        """Read the registry, change it and write it, whole or not at all; commands that do so at once wait for each other.

        Raises:
            InputError: the file is damaged, or ``how`` refuses.
            OutputError: it cannot be written.
        """
        file = cls.file()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with locked(file.with_name(f".{file.name}.lock"), waiting_for="it is changing the list of indexes"):
                changed = how(cls.load())
                changed.save()
        except OSError as error:
            raise OutputError(describe_os_error(error, file)) from error
        return changed

    def save(self) -> None:
        """Write it, whole or not at all."""
        with whole_file(self.file()) as temporary:
            content = {"format": "genoseq.index-registry", "version": 1, "indexes": self.paths, "default": self.default}
            temporary.write_text(json.dumps(content, indent=1) + "\n")

    def register(self, name: str, folder: Path) -> Registry:
        """The registry with one more name. It becomes the default only where there is none, or one whose index is gone.

        A default that stays lets no build, by a workflow in the background say, change what other commands map to.
        """
        paths = {**self.paths, name: str(folder.resolve())}
        stands = self.default is not None and self.default in paths and is_index(paths[self.default])
        return Registry(paths, self.default if stands else name)

    def with_default(self, name: str) -> Registry:
        """The registry with another default.

        Raises:
            InputError: no such name.
        """
        self._check(name)
        return Registry(self.paths, name)

    def without(self, name: str) -> Registry:
        """The registry without a name; without a default if it was that.

        Raises:
            InputError: no such name.
        """
        self._check(name)
        paths = {other: path for other, path in self.paths.items() if other != name}
        return Registry(paths, None if self.default == name else self.default)

    def _check(self, name: str) -> None:
        if name not in self.paths:
            known = ", ".join(self.paths) or "none"
            raise InputError(f"no index is registered as {name!r}; registered: {known}")


def remove_index(name: str) -> tuple[Path, bool]:
    """Unregister an index, and delete its folder if that lies among genoseq's own; return the folder and whether it was deleted.

    A folder of a user's own choice stays, and so does one that another name means or that holds anything else.

    Raises:
        InputError: no such name.
        OutputError: the list of indexes cannot be written, or the folder not be deleted.
    """
    folder = Path()

    def without(found: Registry) -> Registry:
        nonlocal folder
        left = found.without(name)
        folder = Path(found.paths[name])
        return left

    left = Registry.change(without).paths
    if folder.parent != index_folder(name).parent.resolve() or str(folder) in left.values() or not is_index(folder):
        return folder, False
    try:
        check_replaceable(folder)
    except GenoseqError:
        return folder, False
    try:
        (folder / MANIFEST).unlink()  # first: half of an index is none
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(f"{name} is no longer registered, but its folder is left: {describe_os_error(error)}") from error
    return folder, True


def find_index(
    given: str | None, *, threads: int = 1, progress: Callable[[int, int], None] | None = None
) -> Path:
    """Folder of the index meant by ``-x`` (or ``$GENOSEQ_INDEX``, or the default, which is then logged).

    Args:
        given: a folder, a registered name, or a FASTA file, whose index is then built once and cached; None for the default.

    Raises:
        InputError: nothing fits; the message says how to make an index.
    """
    make = "make one with `genoseq index REF --name NAME`, or give `-x NAME|FOLDER|REF.fa`"
    choose = "choose another default with `genoseq index --default NAME`"
    source = ""
    if given is None and os.environ.get("GENOSEQ_INDEX"):
        given, source = os.environ["GENOSEQ_INDEX"], " (from GENOSEQ_INDEX)"
    if given is not None and is_index(given):
        return Path(given)
    registry = Registry.load()
    known = ", ".join(registry.paths) or "none"
    by_default = given is None
    if given is None:
        given = registry.default
        if given is None and registry.paths:
            remedy = f"give `-x NAME`, or {choose.replace('another', 'a')}"
            raise InputError(f"no index was given and none is the default; registered: {known}", remedy=remedy)
        if given is None:
            raise InputError("no index was given and none is registered", remedy=make)
    path = Path(given)
    if given in registry.paths:
        folder = Path(registry.paths[given])
        if not is_index(folder):
            others = ", ".join(name for name in registry.paths if name != given)
            also = f"{choose} ({others}), " if by_default and others else ""
            raise IndexFormatError(
                f"the index registered as {given!r}{' (the default)' if by_default else ''} is no longer there", path=folder,
                remedy=f"if it was moved, give its folder; else {also}{make}; `genoseq index --remove {given}` forgets it"
            )  # fmt: skip
        if by_default:
            log.info("index: %s, the default (-x chooses another)", given)
        return folder
    if path.is_dir():
        raise IndexFormatError(f"this folder{source} is no genoseq index", path=path, remedy=make)
    if path.is_file():
        return _cached(path, threads=threads, progress=progress)
    raise InputError(
        f"no index {given!r}{source}: no such folder or file, and no such name; registered: {known}", remedy=make
    )


def _cached(reference: Path, *, threads: int, progress: Callable[[int, int], None] | None) -> Path:
    """Index of a FASTA file in the cache, built now if it is not there or cannot be opened any more."""
    state = reference.stat()
    encoder = WindowEncoder.shipped()
    key = f"{reference.resolve()}|{state.st_size}|{state.st_mtime_ns}|{encoder.digest}"
    elsewhere = "build it with `genoseq index REF -o FOLDER`, or set GENOSEQ_CACHE to a folder that can be written"
    try:
        parent = cache_folder() / "indexes"
    except RuntimeError as error:
        raise OutputError(f"this user has no home folder for a cached index; {elsewhere}") from error
    folder = parent / f"{reference.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if _usable(folder):
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        lock = locked(folder.with_name(f".{folder.name}.lock"), waiting_for=f"it is building the index of {reference}")
        with lock:
            if not _usable(folder, tell=True):
                announce(log, "%s: building an index, kept in %s", reference, folder)
                build_index(reference, folder, threads=threads, progress=progress)
    except PermissionError as error:
        raise OutputError(f"{parent}: no permission to keep an index here; {elsewhere}") from error
    except OSError as error:
        raise OutputError(f"{describe_os_error(error, parent)}; {elsewhere}") from error
    return folder


def _usable(folder: Path, *, tell: bool = False) -> bool:
    """Whether the index in the cache is there and can be opened."""
    if not is_index(folder):
        return False
    try:
        Index.open(folder)
    except IndexFormatError as error:
        if tell:
            log.warning("%s; building it again", error)
        return False
    return True
