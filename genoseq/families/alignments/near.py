"""Which sequences of a file are near to a query by their embeddings: a filter before a search.

The embeddings come from ``genoseq embed`` and are made once for a database; a query is then embedded by the same net, with the
same options, and its nearest sequences are taken by the cosine of centred embeddings (their mean is what all proteins share).
Whatever the net does not see is lost: a filter trades homologues for time.
"""

from __future__ import annotations

import json
import zipfile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from genoseq.errors import InputError, Pathlike, UsageError

__all__ = ["DatabaseEmbeddings", "read_database_embeddings"]

REMEDY = "make it with `genoseq embed DATABASE -m MODEL -o FILE.npz`"


class DatabaseEmbeddings(NamedTuple):
    """One vector for each sequence of a file.

    Attributes:
        path: where they come from.
        names: of the sequences, in their order.
        values: (N, D) float32; NaN for a sequence without letters.
        model: what the net was called.
        model_sha256, tokenizer_sha256: of the net and its tokenizer.
        options: of the embedding.
    """

    path: Pathlike
    names: tuple[str, ...]
    values: NDArray[np.float32]
    model: str
    model_sha256: str
    tokenizer_sha256: str
    options: dict[str, Any]

    def nearest(self, query: NDArray[np.float32], number: int) -> frozenset[str]:
        """Names of the ``number`` sequences nearest to an embedding (D,) of the same net.

        >>> some = np.array([[1, 0], [0.9, 0.1], [-1, 0], [np.nan, 0]], np.float32)
        >>> database = DatabaseEmbeddings("x.npz", ("a", "b", "c", "empty"), some, "net", "", "", {})
        >>> sorted(database.nearest(np.array([1, 0.05], np.float32), 2))
        ['a', 'b']
        """
        known = np.flatnonzero(np.isfinite(self.values).all(axis=1))
        centre = self.values[known].mean(axis=0)
        vectors, asked = self.values[known] - centre, query - centre
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(asked)
        cosines = vectors @ asked / np.maximum(lengths, np.finfo(np.float32).tiny)
        chosen = known[np.argsort(-cosines, kind="stable")[:number]]
        return frozenset(self.names[i] for i in chosen)

    def embed(self, sequence: str, *, model: str | None = None, device: str = "cpu") -> NDArray[np.float32]:
        """The embedding (D,) of a sequence, by the net and with the options of the file.

        Args:
            sequence: letters of the query.
            model: where the net lies now; unless given, where it lay then.
            device: to run it on.

        Raises:
            InputError: the net cannot be loaded.
            UsageError: it is another net or tokenizer than that of the file.
        """
        from genoseq.checkpoints.loading import load
        from genoseq.infer.embedding import embed
        from genoseq.infer.provenance import model_hash, tokenizer_hash

        name = model or self.model
        net, tokenizer = load(name, dtype=self.options["dtype"], device=device)
        if model_hash(net) != self.model_sha256:
            raise UsageError(f"{name} is not the net that {self.path} was made with: name that one")
        if tokenizer is None or tokenizer_hash(tokenizer) != self.tokenizer_sha256:
            raise UsageError(f"{self.path} was made with another tokenizer than lies beside {name}: make it again with that one")
        options = {key: self.options[key] for key in ("pool", "layer", "strand", "window", "overlap")}
        found = embed(net, tokenizer, [sequence], special=self.options["keep_special"], device=device, **options)
        query: NDArray[np.float32] = np.asarray(found.values[0], np.float32)
        return query


def read_database_embeddings(path: Pathlike) -> DatabaseEmbeddings:
    """The embeddings that ``genoseq embed`` wrote as .npz, one vector for each sequence.

    Raises:
        InputError: there is no such file, it is another one or damaged, or it has a vector for each token.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            metadata = json.loads(str(archive["metadata"]))
            if metadata["format"] != "genoseq.embeddings":
                raise InputError("holds no embeddings", path=path, remedy=REMEDY)
            values, names = archive["embeddings"], archive["names"]
    except FileNotFoundError:
        raise InputError("no such file", path=path, remedy=REMEDY) from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"holds no embeddings, or is damaged ({error})", path=path, remedy=REMEDY) from error
    if values.ndim != 2 or len(values) != len(names):
        raise InputError("has vectors of tokens, expected one for each sequence", path=path, remedy="embed with --pool mean")
    return DatabaseEmbeddings(
        path, tuple(names.tolist()), values, metadata["model"], metadata["model_sha256"], metadata["tokenizer_sha256"],
        metadata["options"],
    )  # fmt: skip
