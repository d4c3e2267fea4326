"""How fast the tokenizers are: a table of Mbp/s of one thread's processor time, best of several runs.

python tests/benchmarks/tokenizer_speed.py [--bases 20000000] [--runs 5]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from genoseq import tokenizers
from genoseq.tokenizers.genetic import back_translate, translate


def rate(work: Callable[[], object], letters: int, runs: int) -> float:
    """Letters per microsecond of this thread's processor time, best of the runs."""
    best = float("inf")
    for _ in range(runs):
        start = time.thread_time()
        work()
        best = min(best, time.thread_time() - start)
    return letters / best / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--bases", type=int, default=20_000_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(0)

    def random_text(alphabet: bytes, shares: list[float] | None = None) -> str:
        return rng.choice(np.frombuffer(alphabet, np.uint8), given.bases, p=shares).tobytes().decode()

    bases = random_text(b"ACGT")
    # one base in a hundred unknown or lower case: the branch that looks at every stretch
    dirty = random_text(b"ACGTacgtN", [0.2475, 0.2475, 0.2475, 0.2475, 0.002, 0.002, 0.002, 0.002, 0.002])
    protein = random_text(b"LAGVSERTIDPKQNFYMHWC")
    rows: list[tuple[str, float, float | None, float]] = []
    for name in tokenizers.names():
        if name in ("bpe", "dnabert2"):
            continue
        options = {"upper": True} if name.startswith("nucleotide-transformer") else {}
        tokenizer = tokenizers.make(name, **options)
        clean = protein if name in ("esm", "poet") else bases
        encode = tokenizer.encode_array
        ids = encode(clean)
        rows.append(
            (
                name,
                rate(lambda clean=clean, encode=encode: encode(clean), given.bases, given.runs),
                None if clean is protein else rate(lambda encode=encode: encode(dirty), given.bases, given.runs),
                rate(lambda ids=ids, tokenizer=tokenizer: tokenizer.decode_array(ids), given.bases, given.runs),
            )
        )
    million, thousand = bases[:1_000_000], [bases[start : start + 1_000] for start in range(0, 1_000_000, 1_000)]
    few = bases[:100_000]
    trained = tokenizers.train_bpe([bases[:500_000]], vocab_size=1024)
    some = trained.encode_array(few)
    speeds = [rate(lambda: trained.encode_array(few), len(few), 3), rate(lambda: trained.decode_array(some), len(few), 3)]
    rows.append(("bpe (1,024 tokens)", speeds[0], None, speeds[1]))

    print(f"{'tokenizer':28}{'clean':>10}{'1 % other':>10}{'decode':>10}   million letters/s, {given.bases:,} at once")
    for name, clean_rate, dirty_rate, decode_rate in rows:
        print(f"{name:28}{clean_rate:10.1f}{'' if dirty_rate is None else f'{dirty_rate:.1f}':>10}{decode_rate:10.1f}")

    tokenizer = tokenizers.make("nucleotide")
    one = rate(lambda: tokenizer(million, return_tensors="pt"), 1_000_000, given.runs)
    many = rate(lambda: tokenizer(thousand, return_tensors="pt", padding=True), 1_000_000, given.runs)
    print(f"\ntokenizer(text, return_tensors='pt'), nucleotide: 1 x 1 Mbp {one:.1f}, 1,000 x 1 kbp {many:.1f} Mbp/s")
    print(f"translate {rate(lambda: translate(bases), given.bases, given.runs):.1f} Mbp/s", end=", ")
    print(f"back_translate {rate(lambda: back_translate(protein), given.bases, given.runs):.1f} million residues/s")

    with tempfile.TemporaryDirectory() as folder:  # what Hugging Face's own code makes of the same ids
        from transformers import EsmTokenizer

        vocabulary = Path(folder) / "vocab.txt"
        vocabulary.write_text("\n".join(tokenizers.make("nucleotide-transformer-v2").get_vocab()))
        theirs = EsmTokenizer(str(vocabulary), eos_token=None)
        print(f"for comparison, EsmTokenizer of transformers with 6-mers: {rate(lambda: theirs(few), len(few), 1):.2f} Mbp/s")


if __name__ == "__main__":
    main()
