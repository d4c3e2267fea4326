"""What all tests share: where the sample and the larger data are, and a user's folders that hold nothing of the user."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# A test run started in the background or under nohup ignores interrupts or hang-ups, and so would the commands it sends them to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported: compiled kernels go to one cache for all runs of the tests, and nets use one thread.

    More threads gain nothing on nets as small as those of the tests, and on a busy machine they wait for each other.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["GENOSEQ_CACHE"] = str(config.cache.mkdir("genoseq"))  # type: ignore[union-attr]


@pytest.fixture(scope="session", autouse=True)
def own_user_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests register or cache out of the user's own folders."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ[name] = str(home / name.lower())


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """What a command run in the process sets up for its log ends with the test."""
    logger = logging.getLogger("genoseq")
    before = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(before[0])  # by the method: levels are cached
    logger.handlers[:], logger.propagate = before[1:]


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the sample data that comes with the project."""
    return ROOT / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """A folder with larger data (``genomes/``, ``reads/``), which the project does not carry; skips where there is none."""
    folder = Path(os.environ.get("GENOSEQ_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip("no shared data (set GENOSEQ_SHARED to the folder that holds data/)")
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Write a file of this name and content; gives its path."""

    def written(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return written
