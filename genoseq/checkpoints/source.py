"""From what a user names to the files of a checkpoint: a folder, a file of weights, a short name, or a repository on the hub.

Short names of nets that come with genoseq are looked up first, then those of the catalogue.

From the hub only data are fetched: weights, configuration, tokenizer. Programs that lie beside them never are.
"""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genoseq.checkpoints.adapter import Found
from genoseq.checkpoints.catalogue import Published, entry_of_file, find_published, find_shipped, known_names
from genoseq.checkpoints.reader import SAFETENSORS, TORCH, open_weights
from genoseq.errors import GenoseqError, InputError, Pathlike, UsageError
from genoseq.outputs import describe_os_error, refusal

log = logging.getLogger(__name__)

__all__ = ["files_to_fetch", "find_checkpoint", "read_config"]

REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
PATIENCE = 20.0
"""Seconds to wait for the hub's list of files."""
CONFIGS = ("config.json", "config.yml", "config.yaml")
BESIDE = re.compile(
    r"config\.(json|ya?ml)|genoseq\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(txt|json)|merges\.txt"
)
"""Files fetched with the weights."""


def find_checkpoint(
    source: Pathlike,
    *,
    revision: str | None = None,
    cache_dir: Pathlike | None = None,
    local_files_only: bool = False,
) -> Found:
    """The checkpoint that a user names.

    Args:
        source: a folder, a file of weights, a short name (shipped with genoseq, or of the catalogue), or
            ``organisation/name`` on the hub.
        revision: branch, tag or commit on the hub.
        cache_dir: where fetched files are kept, instead of the hub's own cache.
        local_files_only: take what is in the cache; fetch nothing.

    Raises:
        UsageError: no such name; near ones are listed.
        InputError: files are missing or damaged, or cannot be fetched.
    """
    text = os.fspath(source)
    place = Path(text).expanduser()
    if place.exists():
        return _local(place, text, entry=None)
    shipped = None if isinstance(source, os.PathLike) else find_shipped(text)
    if shipped is not None:
        return _local(shipped, text, entry=None)
    entry = None if isinstance(source, os.PathLike) else find_published(text)
    if entry is None and (isinstance(source, os.PathLike) or _looks_like_path(text)):
        raise InputError(describe_os_error(FileNotFoundError(2, "")), path=text)
    if entry is None and not REPOSITORY.fullmatch(text):
        raise UsageError(_unknown(text))
    repository = entry.repository if entry else text
    wanted = revision or (entry.revision if entry else None)
    folder = _fetch(repository, revision=wanted, cache_dir=cache_dir, local_files_only=local_files_only)
    if entry is not None and entry.licence:
        log.info("%s is %s (licence %s)", text, repository, entry.licence)
    return _local(folder, text, entry=entry)


def read_config(path: Path) -> dict[str, Any]:
    """A configuration, JSON or YAML by the end of its name.

    Raises:
        InputError: it cannot be read, or is not a table of keys and values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(refusal(error), path=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"is no text ({error.reason} at byte {error.start})", path=path) from error
    try:
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not valid JSON ({error})", path=path) from error
    except yaml.YAMLError as error:
        raise InputError(f"is not valid YAML ({' '.join(str(error).split())})", path=path) from error
    if not isinstance(values, dict):
        raise InputError(f"holds a {type(values).__name__}, expected keys and values", path=path)
    return {str(key): _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    """A value with the numbers that transformers writes as ``{"__float__": "Infinity"}`` as such."""
    if isinstance(value, dict):
        if value.keys() == {"__float__"}:
            return float(value["__float__"])
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def files_to_fetch(names: Iterable[str]) -> list[str]:
    """Which files of a repository make the checkpoint: one form of the weights, the configuration, the tokenizer.

    >>> files_to_fetch(["config.json", "modeling_x.py", "model.safetensors", "pytorch_model.bin", "vocab.txt"])
    ['config.json', 'model.safetensors', 'vocab.txt']

    Raises:
        ValueError: there are no weights among them.
    """
    top = [name for name in names if "/" not in name]
    beside = [name for name in top if BESIDE.fullmatch(name)]
    forms = (
        r"model\.safetensors",
        r"model\.safetensors\.index\.json|model-\d+-of-\d+\.safetensors",
        r"pytorch_model\.bin",
        r"pytorch_model\.bin\.index\.json|pytorch_model-\d+-of-\d+\.bin",
        r"weights\.ckpt",
        r"(?!optimizer|scheduler|training_args)[\w.-]+\.(pt|pth|ckpt)(\.part\d+)?",
    )
    for form in forms:
        weights = [name for name in top if re.fullmatch(form, name)]
        if weights:
            return sorted({*beside, *weights})
    raise ValueError("no weights")


def _local(place: Path, name: str, *, entry: Published | None) -> Found:
    """The checkpoint in a folder, or in a file and what lies beside it."""
    if not place.is_dir() and not place.name.endswith((*SAFETENSORS, *TORCH, ".index.json")):
        endings = ", ".join((*SAFETENSORS, *TORCH))
        raise InputError(f"is no file of weights that genoseq knows: their names end in {endings}", path=place)
    weights = open_weights(place)
    folder = place if place.is_dir() else place.parent
    config_path = _config_of(folder, weights.path, is_folder=place.is_dir())
    config = read_config(config_path) if config_path else {}
    known = entry or entry_of_file(weights.path.name) or entry_of_file(str(config.get("_name_or_path", "")))
    if known is not None and known.config and not _is_full(config):
        config, config_path = dict(known.config), None
    if known is not None:
        config |= known.settings
    note = known.note if known is not None else ""
    return Found(name=name, weights=weights, config=config, config_path=config_path, folder=folder, note=note)


def _config_of(folder: Path, weights: Path, *, is_folder: bool) -> Path | None:
    """The configuration that belongs to weights: of the folder, or of the same name as the file."""
    stem = weights.name.partition(".")[0]
    same = [folder / f"{stem}{ending}" for ending in (".json", ".yml", ".yaml")]
    usual = [folder / name for name in CONFIGS]
    for path in [*usual, *same] if is_folder else [*same, *usual]:
        if path.is_file():
            return path
    others = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yml", ".yaml")) if is_folder else []
    return others[0] if len(others) == 1 else None


def _is_full(config: Mapping[str, Any]) -> bool:
    """Whether a configuration describes a net, rather than only naming it."""
    return any(
        isinstance(value, (int, list)) and not isinstance(value, bool) for key, value in config.items() if key != "architecture"
    )


def _looks_like_path(text: str) -> bool:
    return text.startswith((".", "~", os.sep)) or text.count("/") > 1 or text.endswith((*SAFETENSORS, *TORCH, os.sep))


def _unknown(text: str) -> str:
    near = difflib.get_close_matches(text.lower(), known_names(), n=4, cutoff=0.5)
    hint = f"; near are {', '.join(near)}" if near else f"; known are {', '.join(known_names())}"
    return (
        f"no folder, file or model is called {text!r}{hint}. "
        "Give a folder, a file of weights, a short name, or organisation/name on the Hugging Face hub"
    )


def _fetch(repository: str, *, revision: str | None, cache_dir: Pathlike | None, local_files_only: bool) -> Path:
    """Folder with the files of a repository; those that are in the cache already are not fetched."""
    import huggingface_hub
    from huggingface_hub import constants, errors

    cache = None if cache_dir is None else os.fspath(cache_dir)
    unreachable = ""
    at = f" --revision {revision}" if revision else ""
    by_hand = f"fetch it where there is a network (`hf download {repository}{at} --local-dir FOLDER`) and give the FOLDER"
    try:
        patterns = None
        if not local_files_only and not constants.HF_HUB_OFFLINE:
            try:
                listing = huggingface_hub.HfApi().model_info(repository, revision=revision, timeout=PATIENCE)
                patterns = files_to_fetch(file.rfilename for file in listing.siblings or ())
            except (errors.HfHubHTTPError, ValueError):
                raise
            except Exception as error:  # no network: what is raised differs with the library's releases and is not its own
                unreachable = _first_line(error)
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            cache_dir=cache,
            allow_patterns=patterns,
            ignore_patterns="*.py",
            local_files_only=patterns is None,
        )
    except ValueError as error:
        if str(error) == "no weights":
            raise InputError(f"{repository} on the Hugging Face hub holds no weights that genoseq reads") from error
        raise InputError(f"{repository} is no name of a repository on the Hugging Face hub ({error})") from error
    except errors.GatedRepoError as error:
        login = "ask for access on its page and log in with `hf auth login`"
        raise InputError(f"{repository} on the Hugging Face hub is not open to everyone", remedy=login) from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(f"the Hugging Face hub has no repository {repository}, or it is private") from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{repository} on the Hugging Face hub has no revision {revision!r}") from error
    except errors.LocalEntryNotFoundError as error:
        why = f"cannot be reached ({unreachable})" if unreachable else "was not asked"
        raise InputError(f"{repository} is not in the cache, and the Hugging Face hub {why}", remedy=by_hand) from error
    except (GenoseqError, MemoryError):
        raise
    except Exception as error:  # what the library and the network beneath it may raise differs with its releases
        reason = _first_line(error)
        raise InputError(f"{repository} cannot be fetched from the Hugging Face hub ({reason})", remedy=by_hand) from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
