"""One reference FASTA from a folder of genomes, for mapping against many genomes at once.

Contigs are named ``{file}|{contig}``: the file name without its FASTA and gzip suffixes makes them unique. A contig
with exactly the same bases as an earlier one is left out: its reads would have two true places.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genoseq.errors import InputError
from genoseq.outputs import whole_file
from genoseq.seqs.fastx import read_fastx

__all__ = ["ReferencePart", "assemble_reference", "find_genomes"]

SUFFIX = re.compile(r"\.(fa|fna|fasta)(\.gz)?$")
FORBIDDEN = re.compile(r"[^0-9A-Za-z!#$%&+./:;?@^_|~-]")  # what SAM allows in a reference name, less '*' and '='
LINE = 80
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReferencePart:
    """One contig as written: its new name, the file it comes from and its length in bp."""

    name: str
    file: str
    length: int


def find_genomes(folder: Path, *, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()) -> list[Path]:
    """FASTA files (``.fa .fna .fasta``, also ``.gz``) right in ``folder`` by name, filtered by file name patterns.

    Raises:
        InputError: no such folder, or nothing found.
    """
    if not folder.is_dir():
        raise InputError("is not a folder", path=folder, remedy="give the folder that holds the genomes as FASTA files")

    def wanted(name: str) -> bool:
        return any(fnmatch.fnmatch(name, p) for p in include) and not any(fnmatch.fnmatch(name, p) for p in exclude)

    found = sorted(path for path in folder.iterdir() if SUFFIX.search(path.name) and wanted(path.name))
    if not found:
        raise InputError(
            f"no FASTA file fits {', '.join(include)}",
            path=folder,
            remedy="expected names ending in .fa, .fna or .fasta",
        )
    return found


def assemble_reference(genomes: Sequence[Path], output: Path) -> list[ReferencePart]:
    """Write all contigs of ``genomes`` to one FASTA file (upper case) and return what is in it.

    Raises:
        InputError: a file is not FASTA, or two contigs get the same name.
    """
    parts: list[ReferencePart] = []
    names: set[str] = set()
    seen: dict[bytes, str] = {}
    with whole_file(output) as temporary, open(temporary, "w") as out:
        for path in genomes:
            for record in read_fastx(path):
                name = FORBIDDEN.sub("_", f"{SUFFIX.sub('', path.name)}|{record.name}")
                sequence = record.sequence.upper()
                digest = hashlib.sha256(sequence.encode()).digest()
                if digest in seen:
                    log.warning("%s has the same bases as %s and is left out", name, seen[digest])
                    continue
                if name in names:
                    raise InputError(f"a second contig named {record.name!r}", path=path)
                seen[digest] = name
                names.add(name)
                out.write(f">{name}\n")
                out.writelines(sequence[at : at + LINE] + "\n" for at in range(0, len(sequence), LINE))
                parts.append(ReferencePart(name, path.name, len(sequence)))
    return parts
