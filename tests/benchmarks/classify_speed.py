"""How fast the context mixture learns and classifies, and how large its model is: a table, best of several runs.

python tests/benchmarks/classify_speed.py human_data.txt.gz [--threads 2] [--runs 3]

The data are a table of sequences and labels (a header with `sequence` and `class`), FASTA with labels, or one file a class, as
for `genoseq classify fit`. Four fifths train, the rest is classified: whole, and cut into reads of 150 bp.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from genoseq.classify.channels import letters
from genoseq.classify.context import Flat
from genoseq.classify.estimator import MODES, ContextMixtureClassifier
from genoseq.classify.labelled import read_labelled
from genoseq.classify.model_file import load_classifier, save_classifier

READ = 150


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("labelled", nargs="+")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    found = read_labelled(given.labelled)
    unique = sorted({one: i for i, one in enumerate(found.sequences)}.values())
    X, y = [found.sequences[i] for i in unique], np.array(found.labels)[unique]
    train, test, y_train, y_test = train_test_split(X, y, test_size=0.2, stratify=y, random_state=0)
    genes = letters([one.encode() for one in test], protein=False)
    cut = [one[k : k + READ] for one in test for k in range(0, len(one) - READ + 1, READ)]
    reads = letters([one.encode() for one in cut], protein=False)
    columns = "mode accuracy fit_s genes_per_s Mbp_per_s reads_per_s genes_per_cpu_s reads_per_cpu_s memory_MB file_MB open_s"
    print(columns.replace(" ", "\t"))
    for mode in MODES:
        if mode == "protein":
            continue
        begun = time.perf_counter()
        model = ContextMixtureClassifier(mode=mode, n_jobs=given.threads).fit(train, y_train)
        fit = time.perf_counter() - begun
        accuracy = float((model.predict(test) == y_test).mean())

        def best(flat: Flat, model: ContextMixtureClassifier = model) -> tuple[float, float]:
            """Least seconds, by the clock and of all threads together."""
            times = []
            for _ in range(given.runs):
                clock, work = time.perf_counter(), time.process_time()
                model.call_codes(flat)
                times.append((time.perf_counter() - clock, time.process_time() - work))
            return min(one for one, _ in times), min(one for _, one in times)

        (gene_time, gene_work), (read_time, read_work) = best(genes), best(reads)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            save_classifier(model, path)
            size = path.stat().st_size
            begun = time.perf_counter()
            load_classifier(path)
            opened = time.perf_counter() - begun
        bases = len(genes.codes) / 1e6
        print(
            f"{mode}\t{accuracy:.4f}\t{fit:.1f}\t{len(genes) / gene_time:.0f}\t{bases / gene_time:.2f}\t{len(reads) / read_time:.0f}"
            f"\t{len(genes) / gene_work:.0f}\t{len(reads) / read_work:.0f}\t{model.nbytes / 1e6:.0f}\t{size / 1e6:.0f}\t{opened:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
