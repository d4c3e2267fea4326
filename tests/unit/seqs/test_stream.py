from __future__ import annotations

import bz2
import gzip
import io
import logging
import lzma
import os
import random
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest
import zstandard

from genoseq.errors import InputError
from genoseq.seqs.stream import open_bytes

Write = Callable[[str, bytes], Path]
TEXT = b"".join(b"@read%d\nACGTACGTAC\n+\nIIIIIIIIII\n" % i for i in range(40_000))  # some raw blocks long when compressed


def bgzip(data: bytes, folder: Path) -> bytes:
    path = folder / "made.bgz"
    with pysam.BGZFile(str(path), "wb") as file:
        file.write(data)
    return path.read_bytes()


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def read_all(path: Path) -> bytes:
    with open_bytes(path) as stream:
        return stream.read()


def test_plain(write: Write) -> None:
    with open_bytes(write("a", TEXT)) as stream:
        assert (stream.compression, stream.size) == ("plain", len(TEXT))
        assert stream.read() == TEXT
        assert stream.position == len(TEXT)


def test_gzip_zstd_and_bgzip_are_told_by_their_bytes_not_their_names(write: Write, tmp_path: Path) -> None:
    for name, data in [("gzip", gzip.compress(TEXT)), ("zstd", zstd(TEXT)), ("bgzip", bgzip(TEXT, tmp_path))]:
        with open_bytes(write("reads.txt", data)) as stream:
            assert stream.compression == name
            assert stream.read() == TEXT
            assert stream.position == stream.size == len(data)


@pytest.mark.parametrize("sizes", [[1, 7, 100_000, 3], [1 << 22]])
def test_reads_of_any_size_give_the_same_bytes(write: Write, sizes: list[int]) -> None:
    with open_bytes(write("a.gz", gzip.compress(TEXT))) as stream:
        parts = [stream.read(size) for size in sizes]
        assert [len(part) for part in parts] == [min(size, len(TEXT)) for size in sizes]
        assert b"".join(parts) + stream.read() == TEXT
        assert stream.read(10) == b""


def test_readinto_takes_an_empty_target(write: Write) -> None:
    with open_bytes(write("a", TEXT)) as stream:
        assert stream.readinto(memoryview(bytearray())) == 0
        assert stream.read() == TEXT


def test_several_members_frames_and_padding(write: Write, tmp_path: Path) -> None:
    gz = gzip.compress
    assert read_all(write("a", gz(b"one") + gz(b"") + gz(b"two") + bytes(600))) == b"onetwo"
    assert read_all(write("b", bgzip(b"one", tmp_path) + bgzip(b"two", tmp_path))) == b"onetwo"
    skippable = b"\x53\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"
    assert read_all(write("c", zstd(b"one") + skippable + zstd(b"two"))) == b"onetwo"
    assert read_all(write("d", skippable + zstd(b"one"))) == b"one"


def test_nothing_at_all_and_nothing_compressed_are_empty(write: Write, tmp_path: Path) -> None:
    for data in [b"", gzip.compress(b""), zstd(b""), bgzip(b"", tmp_path)]:
        assert read_all(write("empty", data)) == b""


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_truncated_data_give_what_is_there_and_then_an_error(write: Write, pack: Callable[[bytes], bytes], kept: float) -> None:
    data = pack(random.Random(7).randbytes(300_000))
    path = write("cut", data[: int(len(data) * kept)])
    with open_bytes(path) as stream:
        first = stream.read()
        assert len(first) > 0
        for _ in range(2):
            with pytest.raises(InputError, match=r"cut: the (gzip|zstd) data are truncated; .*again"):
                stream.read()


def test_a_gzip_cut_inside_its_trailer_is_truncated(write: Write) -> None:
    with open_bytes(write("cut", gzip.compress(b"ACGT")[:-3])) as stream:
        assert stream.read() == b"ACGT"
        with pytest.raises(InputError, match="truncated"):
            stream.read()


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_damaged_data_are_told(write: Write, pack: Callable[[bytes], bytes]) -> None:
    data = bytearray(pack(random.Random(7).randbytes(100_000)))
    data[5000:5100] = random.Random(7).randbytes(100)
    if pack is zstd:
        data[7:12] = b"\xff" * 5
    with open_bytes(write("bad", bytes(data))) as stream, pytest.raises(InputError, match=r"damaged|truncated"):
        while stream.read():
            pass


@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gzip", "zstd"])
def test_what_stands_before_a_damaged_place_is_given_out(write: Write, pack: Callable[[bytes], bytes]) -> None:
    plain = bytes(random.Random(4).choices(b"ACGT", k=800_000))
    packed = bytearray(pack(plain))
    place = 3 * len(packed) // 4
    packed[place : place + 2000] = b"\xff" * 2000
    got = bytearray()
    with open_bytes(write("bad", bytes(packed))) as stream, pytest.raises(InputError, match="damaged"):
        while block := stream.read(1000):
            got += block
    assert len(got) > len(plain) // 2
    assert plain.startswith(got[: len(plain) // 2])


def test_a_wrong_checksum_is_told(write: Write) -> None:
    data = bytearray(gzip.compress(b"ACGT" * 100))
    data[-8] ^= 1
    with open_bytes(write("bad", bytes(data))) as stream, pytest.raises(InputError, match="the gzip data are damaged"):
        while stream.read():
            pass


def test_garbage_behind_gzip_is_told(write: Write) -> None:
    path = write("bad", gzip.compress(b"ACGT") + b"hello")
    with open_bytes(path) as stream:
        assert stream.read() == b"ACGT"
        with pytest.raises(InputError, match=r"no gzip data follow the gzip data"):
            stream.read()


def test_bgzip_without_its_last_block_is_warned_about(write: Write, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = bgzip(TEXT, tmp_path)
    with caplog.at_level(logging.WARNING, "genoseq"):
        assert read_all(write("whole", data)) == TEXT
        assert caplog.messages == []
        assert read_all(write("cut", data[:-28])) == TEXT
    assert len(caplog.messages) == 1
    assert "has no bgzip end-of-file block; it may be truncated" in caplog.messages[0]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bz2.compress(b"ACGT"), r"compressed with bzip2.*decompress it first \(bzip2 -dc\)"),
        (lzma.compress(b"ACGT"), r"compressed with xz"),
        (b"PK\x03\x04rest", r"compressed with zip"),
    ],
)
def test_other_compressions_are_named(write: Write, data: bytes, text: str) -> None:
    with pytest.raises(InputError, match=text):
        open_bytes(write("other", data))


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.fq: no such file or folder"):
        open_bytes(tmp_path / "none.fq")
    with pytest.raises(InputError, match="is a folder, expected a file"):
        open_bytes(tmp_path)


def test_a_named_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(gzip.compress(TEXT),))
    writer.start()
    with open_bytes(pipe) as stream:
        assert stream.size is None
        assert stream.read() == TEXT
    writer.join()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_standard_input(pack: Callable[[bytes], bytes]) -> None:
    code = "import sys; from genoseq.seqs.stream import open_bytes; sys.stdout.buffer.write(open_bytes('-').read())"
    done = subprocess.run([sys.executable, "-c", code], input=pack(TEXT), capture_output=True, check=True)
    assert done.stdout == TEXT


def test_closing_leaves_standard_input_open(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(zlib.compress(b"ACGT", wbits=31))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    with open_bytes("-") as stream:
        assert stream.read() == b"ACGT"
    assert not data.closed


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bytes], ids=["gzip", "zstd", "plain"])
def test_the_rest_is_whole_or_an_error(write: Write, pack: Callable[[bytes], bytes]) -> None:
    letters = random.Random(7).randbytes(700_000)
    data = pack(letters)
    with open_bytes(write("whole", data)) as stream:
        assert stream.read(5) + stream.read_rest() == letters and stream.read_rest() == b""
    if pack is not bytes:
        with (
            open_bytes(write("cut", data[: len(data) * 2 // 3])) as stream,
            pytest.raises(InputError, match=r"cut: the (gzip|zstd) data are truncated"),
        ):
            stream.read_rest()
