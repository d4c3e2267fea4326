"""Kinds of training recipes: what the key ``model`` says decides how the rest is read."""

from __future__ import annotations

import logging
from pathlib import Path

from genoseq.errors import Pathlike
from genoseq.recipes import RecipeError, load_recipe, recipe_keys
from genoseq.train.language_recipe import LanguageRecipe
from genoseq.train.window_recipe import WindowRecipe

__all__ = ["KINDS", "load_training_recipe", "tell_replaced"]

log = logging.getLogger(__name__)

KINDS: dict[str, type[WindowRecipe] | type[LanguageRecipe]] = {
    "window-encoder": WindowRecipe,
    "language-model": LanguageRecipe,
}


def load_training_recipe(path: Path) -> WindowRecipe | LanguageRecipe:
    """The recipe in a YAML file, of the kind that its key ``model`` names (a window encoder where there is none).

    Raises:
        RecipeError: the file cannot be read, names no known kind, or does not fit it.
    """
    kind = recipe_keys(path).get("model", "window-encoder")
    if kind not in KINDS:
        raise RecipeError(f"{path}: model is {kind!r}; expected one of {', '.join(KINDS)}")
    return load_recipe(path, KINDS[kind])


def tell_replaced(folder: Pathlike) -> None:
    """Warn of a folder of an earlier run that is going to be replaced; call it once it is known that it may be."""
    place = Path(folder)
    if place.is_dir() and any(place.iterdir()):
        log.warning("%s is there already: what this run makes will replace it", place)
