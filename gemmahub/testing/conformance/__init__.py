"""The tests that every plugin passes, for plugins to inherit. Needs pytest.

::

    from gemmahub.testing.conformance import BackendConformance

    class TestConformance(BackendConformance):
        plugin = "demo"                                # the name of the plugin's entry point

        def make_artifact(self, folder):               # a model that the backend can load
            return Artifact("gguf", folder / "model.gguf", ...)

:class:`StoreConformance`, :class:`SourceConformance`, :class:`FormatConformance` and
:class:`DeviceConformance` are the same for what else a plugin offers, :class:`PluginConformance`
are the tests that are left for one that adds commands only. pytest finds the inherited
tests. What a plugin does not offer is skipped, and the reason of the skip names it. An inherited
test may be replaced only by one that is marked ``pytest.mark.xfail(reason=...)``: anything else is
refused when the class is made, so that a plugin that passes does pass.

The tests read none of the user's settings. Warnings that an engine gives of itself fail nothing,
also where ``filterwarnings`` is ``error``. Models to test with:
:mod:`gemmahub.testing.model_writer` writes a tiny GGUF and
:mod:`gemmahub.testing.folder_writer` a folder of safetensors, each with random weights and a real
tokenizer, :mod:`gemmahub.testing.gguf_writer` and :mod:`gemmahub.testing.safetensors_writer`
headers without weights.
"""

from __future__ import annotations

import pytest

# Failures then show the values that were compared, as in a test file.
_MODULES = (
    "base", "kit", "answering", "images", "loading", "offering", "plugin", "speaking", "stopping",
    "devices", "formats", "sources", "stores",
)  # fmt: skip
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _MODULES))

from gemmahub.testing.conformance.answering import AnsweringTests  # noqa: E402
from gemmahub.testing.conformance.base import PluginConformance  # noqa: E402
from gemmahub.testing.conformance.devices import DeviceConformance  # noqa: E402
from gemmahub.testing.conformance.formats import FormatConformance  # noqa: E402
from gemmahub.testing.conformance.images import ImageTests  # noqa: E402
from gemmahub.testing.conformance.kit import Kit  # noqa: E402
from gemmahub.testing.conformance.loading import LoadingTests  # noqa: E402
from gemmahub.testing.conformance.offering import OfferingTests  # noqa: E402
from gemmahub.testing.conformance.plugin import PluginTests  # noqa: E402
from gemmahub.testing.conformance.sources import SourceConformance  # noqa: E402
from gemmahub.testing.conformance.speaking import SpeakingTests  # noqa: E402
from gemmahub.testing.conformance.stopping import StoppingTests  # noqa: E402
from gemmahub.testing.conformance.stores import StoreConformance  # noqa: E402

__all__ = [
    "BackendConformance",
    "DeviceConformance",
    "FormatConformance",
    "PluginConformance",
    "SourceConformance",
    "StoreConformance",
]


class BackendConformance(
    PluginTests, LoadingTests, AnsweringTests, ImageTests, SpeakingTests, OfferingTests,
    StoppingTests, Kit,
):  # fmt: skip
    """Subclass it, set ``plugin`` and write ``make_artifact``; see :class:`Kit` for the rest."""
