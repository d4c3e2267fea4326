"""Kinds of training recipes: what the key ``model`` says decides how the rest is read."""

from __future__ import annotations

from pathlib import Path

from genoseq.recipes import RecipeError, load_recipe, recipe_keys
from genoseq.train.language_recipe import LanguageRecipe
from genoseq.train.window_recipe import WindowRecipe

__all__ = ["KINDS", "load_training_recipe"]

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
