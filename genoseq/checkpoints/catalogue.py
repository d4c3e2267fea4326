"""Published models by short name: where their files are, and what genoseq must know that the files do not say.

Licences are those stated on the models' own pages; where a page states none, none is given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["CATALOGUE", "Published", "entry_of_file", "find_published", "find_shipped", "known_names"]


@dataclass(frozen=True)
class Published:
    """A published checkpoint.

    Attributes:
        name: what a user types.
        repository: ``organisation/name`` on the Hugging Face hub.
        family: name of the adapter that reads it.
        licence: of the weights, as SPDX identifier in lower case; None if not known.
        revision: branch or commit, where the newest is not the one to use.
        config: the configuration, where the repository has none.
        settings: keys that the authors' own program sets, whatever the repository's configuration says.
        note: what a user should know before trusting the numbers.
    """

    name: str
    repository: str
    family: str
    licence: str | None = None
    revision: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def stem(self) -> str:
        """The repository's own name, which is also that of the weights in repositories without a configuration."""
        return self.repository.partition("/")[2]


def _hyenadna() -> list[Published]:
    sizes = {
        "tiny-1k": "tiny-1k-seqlen",
        "tiny-1k-d256": "tiny-1k-seqlen-d256",
        "tiny-16k-d128": "tiny-16k-seqlen-d128",
        "small-32k": "small-32k-seqlen",
        "medium-160k": "medium-160k-seqlen",
        "medium-450k": "medium-450k-seqlen",
        "large-1m": "large-1m-seqlen",
    }
    return [
        Published(f"hyenadna-{short}", f"LongSafari/hyenadna-{full}-hf", "hyenadna", "bsd-3-clause")
        for short, full in sizes.items()
    ]


def _caduceus() -> list[Published]:
    long = "seqlen-131k_d_model-256_n_layer-16"
    return [
        Published("caduceus-ph-131k", f"kuleshov-group/caduceus-ph_{long}", "caduceus", "apache-2.0"),
        Published("caduceus-ps-131k", f"kuleshov-group/caduceus-ps_{long}", "caduceus", "apache-2.0"),
        *(
            Published(f"caduceus-{short}", f"kuleshov-group/caduceus-{full}_n_layer-4_lr-8e-3", "caduceus")
            for short, full in {
                "ph-1k-d118": "ph_seqlen-1k_d_model-118",
                "ph-1k-d256": "ph_seqlen-1k_d_model-256",
                "ps-1k-d256": "ps_seqlen-1k_d_model-256",
            }.items()
        ),
        *(
            Published(f"plantcaduceus-l{n}", f"kuleshov-group/PlantCaduceus_l{n}", "caduceus", licence)
            for n, licence in {20: "apache-2.0", 24: "apache-2.0", 28: None, 32: "apache-2.0"}.items()
        ),
    ]


def _nucleotide_transformer() -> list[Published]:
    base = "nucleotide-transformer"
    names = {
        f"{base}-500m-human-ref": "500m-human-ref",
        f"{base}-500m-1000g": "500m-1000g",
        f"{base}-2.5b-1000g": "2.5b-1000g",
        f"{base}-2.5b-multi-species": "2.5b-multi-species",
        **{f"{base}-v2-{size}": f"v2-{size}-multi-species" for size in ("50m", "100m", "250m", "500m")},
    }
    return [Published(name, f"InstaDeepAI/{base}-{full}", "esm", "cc-by-nc-sa-4.0") for name, full in names.items()]


def _esm() -> list[Published]:
    sizes = {"8m": "t6_8M", "35m": "t12_35M", "150m": "t30_150M", "650m": "t33_650M", "3b": "t36_3B", "15b": "t48_15B"}
    return [Published(f"esm2-{short}", f"facebook/esm2_{full}_UR50D", "esm", "mit") for short, full in sizes.items()]


def _mamba() -> list[Published]:
    first = ("130m", "370m", "790m", "1.4b", "2.8b")
    second = ("130m", "370m", "780m", "1.3b", "2.7b")
    seen = ("mamba-130m", "mamba-370m", "mamba-2.8b", "mamba2-130m", "mamba2-780m", "mamba2-1.3b", "mamba2-2.7b")
    names = [*(f"mamba-{size}" for size in first), *(f"mamba2-{size}" for size in second)]
    return [Published(name, f"state-spaces/{name}", "mamba", "apache-2.0" if name in seen else None) for name in names]


def _evo() -> list[Published]:
    # The authors load the base models from this branch, which mends the weights of the main one.
    fixed = "1.1_fix"
    return [
        Published("evo-1-8k", "togethercomputer/evo-1-8k-base", "stripedhyena", "apache-2.0", fixed),
        Published(
            "evo-1-131k",
            "togethercomputer/evo-1-131k-base",
            "stripedhyena",
            "apache-2.0",
            fixed,
            settings={"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 16},
        ),
        Published("evo-1.5-8k", "evo-design/evo-1.5-8k-base", "stripedhyena"),
        Published("evo-1-8k-crispr", "LongSafari/evo-1-8k-crispr", "stripedhyena", "apache-2.0"),
        Published("evo-1-8k-transposon", "LongSafari/evo-1-8k-transposon", "stripedhyena", "apache-2.0"),
    ]


EIGHT_BITS = (
    "its projections were trained with 8-bit numbers on Hopper GPUs, and its authors vouch for its results only there; "
    "in 16 or 32 bits they may differ"
)


def _evo2_config(layers: int, attention: tuple[int, ...], **values: Any) -> dict[str, Any]:
    """Configuration of a published Evo 2: blocks go short, medium, long filter, in turn, with attention in between."""
    kinds: dict[str, list[int]] = {"hcs": [], "hcm": [], "hcl": []}
    filters = [index for index in range(layers) if index not in attention]
    for count, index in enumerate(filters):
        kinds[("hcs", "hcm", "hcl")[count % 3]].append(index)
    width = values["hidden_size"]
    return {
        "vocab_size": 512,
        "num_layers": layers,
        "attn_layer_idxs": list(attention),
        **{f"{kind}_layer_idxs": indices for kind, indices in kinds.items()},
        "hcs_filter_length": 7,
        "hcm_filter_length": 128,
        "hcl_filter_groups": width,
        "num_filters": width,
        "short_filter_length": 3,
        "short_filter_bias": False,
        "state_size": 16,
        "eps": 1e-6,
        "rotary_emb_base": 10000,
        "make_vocab_size_divisible_by": 8,
        "proj_groups": 1,
        "hyena_filter_groups": 1,
        "column_split": True,
        "column_split_hyena": False,
        "interleave": True,
        "hyena_flip_x1x2": False,
        "evo2_style_activations": True,
        "tie_embeddings": True,
        "mha_out_proj_bias": True,
        "hyena_out_proj_bias": True,
        "qkv_proj_bias": False,
        "final_norm": True,
        "mlp_activation": "gelu",
        "tokenizer_type": "CharLevelTokenizer",
        **values,
    }


def _evo2() -> list[Published]:
    """Numbers from the authors' configuration files (github.com/ArcInstitute/evo2, evo2/configs)."""
    seven = (3, 10, 17, 24, 31)
    forty = (3, 10, 17, 24, 31, 35, 42, 49)
    base_7b = {"hidden_size": 4096, "num_attention_heads": 32, "hcs_filter_groups": 256, "hcm_filter_groups": 256}
    base_7b |= {"inner_size_multiple_of": 16}
    base_40b = {"hidden_size": 8192, "num_attention_heads": 64, "hcs_filter_groups": 512, "hcm_filter_groups": 512}
    base_40b |= {"inner_size_multiple_of": 128, "rotary_emb_base": 1_000_000}
    scaled = {"use_interpolated_rotary_pos_emb": True, "rotary_emb_scaling_factor": 128, "max_seqlen": 1_048_576}
    small = {"hidden_size": 1920, "num_attention_heads": 15, "hcs_filter_groups": 128, "hcm_filter_groups": 128}
    small |= {"inner_size_multiple_of": 16, "inner_mlp_size": 5120, "max_seqlen": 8192}
    configs = {
        "evo2-1b": ("arcinstitute/evo2_1b_base", _evo2_config(25, (3, 10, 17, 24), **small)),
        "evo2-7b": ("arcinstitute/evo2_7b", _evo2_config(32, seven, **base_7b, **scaled, inner_mlp_size=11264)),
        "evo2-7b-262k": (
            "arcinstitute/evo2_7b_262k",
            _evo2_config(
                32, seven, **base_7b, **scaled | {"rotary_emb_scaling_factor": 32, "max_seqlen": 262_144}, inner_mlp_size=11008
            ),
        ),
        "evo2-7b-base": (
            "arcinstitute/evo2_7b_base",
            _evo2_config(32, seven, **base_7b, inner_mlp_size=11008, max_seqlen=32_768),
        ),
        "evo2-20b": ("arcinstitute/evo2_20b", _evo2_config(24, (3, 10, 17), **base_40b, **scaled, inner_mlp_size=22528)),
        "evo2-40b": ("arcinstitute/evo2_40b", _evo2_config(50, forty, **base_40b, **scaled, inner_mlp_size=22528)),
        "evo2-40b-base": (
            "arcinstitute/evo2_40b_base",
            _evo2_config(50, forty, **base_40b, inner_mlp_size=21888, max_seqlen=8192),
        ),
    }
    seen = ("evo2-1b", "evo2-40b", "evo2-40b-base")
    eight = ("evo2-1b", "evo2-20b", "evo2-40b", "evo2-40b-base")
    return [
        Published(
            name,
            repository,
            "evo2",
            "apache-2.0" if name in seen else None,
            config=config,
            note=EIGHT_BITS if name in eight else "",
        )
        for name, (repository, config) in configs.items()
    ]


def _hnet() -> list[Published]:
    """Numbers from the authors' configuration files (github.com/goombalab/hnet, configs)."""

    def config(layout: list[Any], widths: list[int], inner: list[int], rotary: list[int]) -> dict[str, Any]:
        stages = len(widths)
        return {
            "arch_layout": layout,
            "d_model": widths,
            "d_intermediate": inner,
            "vocab_size": 256,
            "ssm_cfg": {"chunk_size": 256, "d_conv": 4, "d_state": 128, "expand": 2},
            "attn_cfg": {
                "num_heads": [16] * stages,
                "rotary_emb_dim": rotary,
                "window_size": [1023] * (stages - 1) + [-1],
            },
            "tie_embeddings": False,
        }

    def two(inner: str) -> list[Any]:
        return ["m4", ["T1m4", [inner], "m4T1"], "m4"]

    wide = ([1024, 1536, 2048], [0, 4096, 5504], [32, 48, 64])
    configs = {
        "1stage_L": config(["m4", ["T22"], "m4"], [1024, 1536], [0, 4096], [32, 48]),
        "1stage_XL": config(["m4", ["T24"], "m4"], [1024, 2048], [0, 5504], [32, 64]),
        "2stage_L": config(two("T26"), [1024, 1024, 1536], [0, 2816, 4096], [32, 32, 48]),
        "2stage_XL": config(two("T27"), *wide),
        "2stage_XL_chinese": config(two("T30"), *wide),
        "2stage_XL_code": config(two("T28"), *wide),
    }
    return [
        Published(f"hnet-{size.lower().replace('_', '-')}", f"cartesia-ai/hnet_{size}", "hnet", config=values)
        for size, values in configs.items()
    ]


CATALOGUE: dict[str, Published] = {
    entry.name: entry
    for entry in (
        *_hyenadna(),
        *_caduceus(),
        *_evo(),
        *_evo2(),
        *_nucleotide_transformer(),
        Published("dnabert-2", "zhihan1996/DNABERT-2-117M", "dnabert2"),
        *_esm(),
        *_mamba(),
        *_hnet(),
    )
}


def find_published(name: str) -> Published | None:
    """The entry of a short name or of a repository, whatever its case; None if there is none.

    >>> find_published("HyenaDNA-small-32k").repository
    'LongSafari/hyenadna-small-32k-seqlen-hf'
    """
    wanted = name.lower()
    if wanted in CATALOGUE:
        return CATALOGUE[wanted]
    return next((entry for entry in CATALOGUE.values() if entry.repository.lower() == wanted), None)


def entry_of_file(name: str) -> Published | None:
    """The entry whose weights are in a file of this name (``evo2_1b_base.pt``); None if there is none.

    >>> entry_of_file("evo2_1b_base.pt").name
    'evo2-1b'
    """
    stem = name.partition(".pt")[0].lower()
    return next((entry for entry in CATALOGUE.values() if entry.config and entry.stem.lower() == stem), None)


def find_shipped(name: str) -> Path | None:
    """Folder of a net that comes with genoseq (``models/NAME``), by its name, whatever its case; None if none is called so.

    >>> find_shipped("bacteria-small").name
    'bacteria-small'
    """
    return _shipped().get(name.lower())


def known_names() -> list[str]:
    """The names that `genoseq.load` knows: nets that come with genoseq, then public ones.

    >>> known_names()[0]
    'bacteria-small'
    """
    return [*_shipped(), *CATALOGUE]


def _shipped() -> dict[str, Path]:
    from genoseq.checkpoints.genoseq_format import MARKER

    package = Path(__file__).parents[1]
    inside = package / "_models"  # in an installed package; in a checkout they lie beside it
    models = inside if inside.is_dir() else package.parent / "models"
    return {marker.parent.name: marker.parent for marker in sorted(models.glob(f"*/{MARKER}"))}
