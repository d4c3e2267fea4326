"""Window codes: the compiled encoder against the plain one, and the files encoders are kept in."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from genoseq.embed.anchors import anchor_cells, scan_anchors
from genoseq.embed.window import BITS, FLANK, FORMAT, VERSION, WindowEncoder, code_windows, sign_bits, sum_window
from genoseq.embed.window_reference import encode_reference
from genoseq.errors import IndexFormatError, InputError
from genoseq.seqs.alphabet import COMPLEMENT

Codes = NDArray[np.uint8]
METADATA = {"format": FORMAT, "version": VERSION, "flank": str(FLANK), "context": "1"}


def encoder(context: int, seed: int = 0) -> WindowEncoder:
    table = np.random.default_rng(seed).integers(-128, 128, (2 * FLANK, 4**context, BITS), dtype=np.int8)
    return WindowEncoder.from_table(table)


def found_anchors(codes: Codes, k: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    positions, entries = np.empty(len(codes), np.int64), np.empty(len(codes), np.int32)
    n = scan_anchors(codes, 0, len(codes), k, anchor_cells(k, 0.5), positions, entries)
    return positions[:n], entries[:n]


def fast_codes(codes: Codes, k: int, model: WindowEncoder) -> tuple[Codes, NDArray[np.int16], NDArray[np.int64], NDArray[np.int32]]:
    """Codes ``(n, 16)`` and sums ``(n, 128)`` of all anchors of one contig."""
    positions, entries = found_anchors(codes, k)
    out = np.empty((len(positions), 2), np.uint64)
    offsets = np.array([0, len(codes)])
    code_windows(codes, offsets, positions << 1 | entries & 1, k, model.rows, model.context, out)
    sums = np.empty((len(positions), BITS), np.int16)
    window, used = np.empty(64, np.uint8), np.empty(64, np.int64)
    for n, (position, entry) in enumerate(zip(positions, entries, strict=True)):
        sum_window(codes, 0, len(codes), position, k, entry & 1, model.rows, model.context, window, used, sums[n])
    return out.view(np.uint8).reshape(-1, 16), sums, positions, entries


@pytest.mark.parametrize("context", [1, 2, 3])
@pytest.mark.parametrize("k", [6, 7])
def test_kernels_give_the_codes_of_the_reference(context: int, k: int) -> None:
    rng = np.random.default_rng(context)
    codes = rng.integers(0, 4, 220, dtype=np.uint8)
    codes[rng.random(220) < 0.02] = 4
    codes[110] = 5  # an N as reads have it
    model = encoder(context)
    fast, sums, positions, entries = fast_codes(codes, k, model)
    assert {0, 1} == set((entries & 1).tolist())
    assert positions[0] < FLANK and positions[-1] > 220 - k - FLANK  # windows that leave the contig at either end
    reference = encode_reference(codes, positions, k, model.table)
    assert (sums == reference.sums).all()
    assert (fast == reference.codes).all()


@pytest.mark.parametrize("length", [6, 7, 8, 20, 69])
def test_short_sequences_have_codes_too(length: int) -> None:
    model = encoder(2)
    rng = np.random.default_rng(length)
    seen = 0
    for _ in range(10):
        codes = rng.integers(0, 4, length, dtype=np.uint8)
        fast, _, positions, _ = fast_codes(codes, 6, model)
        assert (fast == encode_reference(codes, positions, 6, model.table).codes).all()
        seen += len(positions)
    assert seen


def test_a_window_sees_its_own_contig_alone() -> None:
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, 300, dtype=np.uint8)
    offsets = np.array([0, 120, 180, 300])
    model = encoder(2)
    k = 6
    for start, end in pairwise(offsets):
        fast, _, positions, entries = fast_codes(codes[start:end].copy(), k, model)
        out = np.empty((len(positions), 2), np.uint64)
        code_windows(codes, offsets, (positions + start) << 1 | entries & 1, k, model.rows, model.context, out)
        assert (out.view(np.uint8).reshape(-1, 16) == fast).all()


@pytest.mark.parametrize("context", [1, 2, 3])
def test_both_strands_have_the_same_codes(context: int) -> None:
    codes = np.random.default_rng(6).integers(0, 4, 400, dtype=np.uint8)
    codes[[10, 200]] = 4
    model = encoder(context)
    forward, _, positions, _ = fast_codes(codes, 7, model)
    turned, _, others, _ = fast_codes(COMPLEMENT[codes[::-1]], 7, model)
    assert (400 - 7 - others[::-1] == positions).all()
    assert (turned[::-1] == forward).all()


def test_bits_are_the_signs_in_little_endian_order() -> None:
    sums = np.zeros(BITS, np.int16)
    assert sign_bits(sums, 0) == sign_bits(sums, 1) == 0  # nothing is not positive
    for d in range(BITS):
        sums[:] = -1
        sums[d] = 1
        words = np.array([sign_bits(sums, 0), sign_bits(sums, 1)], np.uint64)
        assert np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).tolist() == [d]


def test_sums_of_extreme_tables_do_not_overflow() -> None:
    codes = np.zeros(200, np.uint8)
    codes[90:96] = [0, 1, 0, 2, 0, 3]
    for extreme in (-128, 127):
        model = WindowEncoder.from_table(np.full((64, 4, BITS), extreme, np.int8))
        sums = np.empty(BITS, np.int16)
        sum_window(codes, 0, 200, 90, 6, 0, model.rows, 1, np.empty(64, np.uint8), np.empty(64, np.int64), sums)
        assert (sums == 64 * extreme).all()


def test_encoder_leaves_the_callers_table_alone_and_is_known_by_its_digest() -> None:
    table = np.random.default_rng(0).integers(-9, 9, (64, 4, BITS), dtype=np.int8)
    model = WindowEncoder.from_table(table)
    assert table.flags.writeable
    table[0, 0, 0] += 1
    assert WindowEncoder.from_table(table).digest != model.digest
    with pytest.raises(ValueError, match="read-only"):
        model.table[0, 0, 0] = 1
    assert model.rows.shape == (64 * 4 + 1, BITS) and not model.rows[-1].any()
    assert (model.rows[:-1].reshape(64, 4, BITS) == model.table).all()
    turned = WindowEncoder.from_table(np.asfortranarray(model.table))
    assert turned.digest == model.digest and turned.table.flags.c_contiguous


@pytest.mark.parametrize(
    "table",
    [np.zeros((64, 4, 128), np.int16), np.zeros((64, 8, 128), np.int8), np.zeros((63, 4, 128), np.int8), np.zeros((64, 4, 64), np.int8), np.zeros((64, 512), np.int8)],
)
def test_tables_of_another_shape_are_refused(table: NDArray[np.int8], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected int8"):
        WindowEncoder.from_table(table)
    save_file({"table": table}, tmp_path / "weights.safetensors", metadata=METADATA)
    with pytest.raises(InputError, match=r"weights\.safetensors: window table is .* expected int8"):
        WindowEncoder.load(tmp_path)


@pytest.mark.parametrize("context", [1, 2, 3])
def test_saved_encoder_is_loaded_from_file_or_folder(tmp_path: Path, context: int) -> None:
    model = encoder(context)
    save_file({"table": np.array(model.table)}, tmp_path / "weights.safetensors", metadata=METADATA)
    for path in (tmp_path, tmp_path / "weights.safetensors", str(tmp_path)):
        loaded = WindowEncoder.load(path)
        assert (loaded.digest, loaded.context) == (model.digest, context)
        assert loaded.name.endswith("weights.safetensors")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights\.safetensors: no such file"):
        WindowEncoder.load(tmp_path)
    with pytest.raises(InputError, match=r"other\.bin: no such file"):
        WindowEncoder.load(tmp_path / "other.bin")


@pytest.mark.parametrize("kept", [0, 4, 40, 5000, -1])
def test_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"table": np.array(encoder(1).table)}, path, metadata=METADATA)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"weights\.safetensors: cannot be read as safetensors"):
        WindowEncoder.load(tmp_path)


@pytest.mark.parametrize("metadata", [None, {}, {**METADATA, "format": "genoseq.other"}])
def test_files_that_hold_something_else_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file({"table": np.array(encoder(1).table)}, tmp_path / "weights.safetensors", metadata=metadata)
    with pytest.raises(InputError, match="not a window encoder"):
        WindowEncoder.load(tmp_path)


def test_file_without_a_table_is_refused(tmp_path: Path) -> None:
    save_file({"other": np.zeros(3, np.int8)}, tmp_path / "weights.safetensors", metadata=METADATA)
    with pytest.raises(InputError, match="table"):
        WindowEncoder.load(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    metadata = {**METADATA, "version": "2"}
    save_file({"table": np.array(encoder(1).table)}, tmp_path / "weights.safetensors", metadata=metadata)
    with pytest.raises(IndexFormatError, match=f"of version 2, this genoseq reads {VERSION}"):
        WindowEncoder.load(tmp_path)


def test_random_encoder_is_the_same_each_time_and_keeps_near_windows_near() -> None:
    model = WindowEncoder.random(seed=3)
    assert model.digest == WindowEncoder.random(seed=3).digest != WindowEncoder.random(seed=4).digest
    assert model.context == 1 and np.abs(model.table.astype(int)).max() == 100
    codes = np.random.default_rng(1).integers(0, 4, 2000, dtype=np.uint8)
    before, _, positions, _ = fast_codes(codes, 7, model)
    edited = codes.copy()
    edited[500] = (edited[500] + 1) % 4
    _check_near(before, positions, edited, model)


def _check_near(before: Codes, positions: NDArray[np.int64], edited: Codes, model: WindowEncoder) -> None:
    """Windows that hold the edit move by a few bits; windows of different places differ in about half of them."""
    after, _, others, _ = fast_codes(edited, 7, model)
    both = np.intersect1d(positions, others)
    distances = np.bitwise_count(before[np.isin(positions, both)] ^ after[np.isin(others, both)]).sum(axis=1)
    touched = (both > 500 - 7 - FLANK) & (both < 500 + FLANK)
    assert distances[touched].mean() < 20
    assert (distances[(both < 500 - 7 - FLANK) | (both > 500 + FLANK)] == 0).all()
    apart = np.bitwise_count(before[:-50] ^ before[50:]).sum(axis=1)
    assert 54 < apart.mean() < 74


def test_shipped_encoder_loads_and_keeps_near_windows_near() -> None:
    model = WindowEncoder.shipped()
    assert model.name.endswith("weights.safetensors")
    codes = np.random.default_rng(2).integers(0, 4, 2000, dtype=np.uint8)
    edited = codes.copy()
    edited[500] = (edited[500] + 1) % 4
    before, _, positions, _ = fast_codes(codes, 7, model)
    _check_near(before, positions, edited, model)
