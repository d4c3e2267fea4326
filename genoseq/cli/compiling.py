"""A word to the user when machine code has to be made, since that takes a while and happens rarely."""

from __future__ import annotations

import functools
import logging

__all__ = ["announce_compilation"]

log = logging.getLogger("genoseq.kernels")


@functools.cache
def announce_compilation() -> None:
    """Log a line when the first kernel of this process is compiled; nothing if all come from the cache."""
    from numba.core import event
    from numba.core.caching import NullCache

    class Announcer(event.Listener):
        said = False

        def on_start(self, event: event.Event) -> None:
            dispatcher = event.data["dispatcher"]
            if Announcer.said or not dispatcher.py_func.__module__.startswith("genoseq."):
                return
            Announcer.said = True
            if isinstance(dispatcher._cache, NullCache):
                log.warning(
                    "compiling for this machine, in every run anew (about a minute): no folder to keep the result can be "
                    "written; set GENOSEQ_CACHE to one"
                )
            else:
                log.info("compiling for this machine (once, about a minute)")

        def on_end(self, event: event.Event) -> None:
            """Nothing to say."""

    event.register("numba:compile", Announcer())
