"""Tests of a plugin before any model is loaded: entry point, class data, availability, options."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.engines.contract import CAPABILITIES, Availability, Backend
from gemmahub.errors import LoadFailed
from gemmahub.testing.conformance.base import ALLOWED
from gemmahub.testing.conformance.kit import Kit, only_backend_errors

if TYPE_CHECKING:
    from gemmahub.engines.contract import Artifact, Option
    from gemmahub.engines.manager import BackendOffer

CHEAP_SECONDS: Final = 2.0
"""The longest that ``availability()`` may take: ``gemmahub plugins`` asks all backends in turn. A
server that does not answer is given up before."""


class PluginTests(Kit):
    """Tests of a plugin without a model."""

    def test_class_data(self, offer: BackendOffer) -> None:
        """name, formats, capabilities and options are declared as the contract says."""
        backend = offer.backend
        assert backend.name.strip() == backend.name != ""
        serves = type(backend).served is not Backend.served
        assert backend.formats or serves, "a backend names the formats that it runs"
        assert backend.capabilities <= set(CAPABILITIES), "declared, but not part of the contract"
        for method in ("dry_load", "quantize", "serve", "unload"):
            own = getattr(type(backend), method) is not getattr(Backend, method)
            assert own == (method in backend.capabilities), f"declared, or there: {method}"
        names = [option.name for option in backend.options]
        assert len(set(names)) == len(names), "two options have one name"
        for option in backend.options:
            assert option.name.isidentifier(), f"{option.name!r} is not a name for an option"
            assert option.help, f"the option {option.name} has no help text"
            assert option.default is None or isinstance(option.default, (option.type, int))
            assert not option.choices or option.default in (None, *option.choices)

    def test_availability_answers(self, offer: BackendOffer) -> None:
        """It never raises, and says the version, or what is missing and what to do about it."""
        answer = offer.backend.availability()
        assert isinstance(answer, Availability)
        if answer.ok:
            assert answer.version, "an engine that is there has a version"
        else:
            assert answer.reason, "say what is missing"
            assert answer.hint, "say what to do about it"

    def test_availability_is_cheap(self, offer: BackendOffer) -> None:
        """It does not import an engine that runs in this process, and takes no time."""
        if offer.backend.in_process:
            found = self.clean_start()
            assert not set(found["imported_by_availability"]) - ALLOWED, (
                "importing an engine may take seconds, or abort: look for its distribution instead "
                "(importlib.metadata.version, importlib.util.find_spec)"
            )
        times = []
        for _ in range(3):
            started = perf_counter()
            offer.backend.availability()
            times.append(perf_counter() - started)
        assert min(times) < CHEAP_SECONDS

    def test_availability_without_the_engine(self) -> None:
        """Where only gemmahub and the plugin are installed, it says so and names the fix."""
        answer = self.clean_start("without-engine")["availability"]
        assert answer is not None, "the hook gemmahub_backends needs the engine"
        if not answer["ok"]:
            assert answer["reason"], "say what is missing"
            assert answer["hint"], "say how to install it"
            assert "Error" not in answer["reason"], f"availability() raised: {answer['reason']}"

    # --- options -------------------------------------------------------------------------------

    def test_unknown_option_is_refused(self, backend: Backend, model: Artifact) -> None:
        """A surplus option is an error that names it, never ignored; see check_options."""
        given = {option.name: option.default for option in backend.options} | {"no_such_option": 1}
        settings = self.settings(options=given)
        with only_backend_errors("an option that does not exist") as caught:
            backend.load(model, settings).close()
        assert caught, "a backend refuses options that it does not have"
        assert isinstance(caught[0], LoadFailed)
        assert "no_such_option" in caught[0].message, "the message must name the option"

    def test_option_of_a_wrong_type_is_refused(self, backend: Backend, model: Artifact) -> None:
        """A value of another type, or not among the choices, is LoadFailed."""
        if not backend.options:
            pytest.skip(f"{backend.name} declares no options")
        for option in backend.options:
            settings = self.settings(options={option.name: _wrong(option)})
            with only_backend_errors(f"{option.name}={_wrong(option)!r}") as caught:
                backend.load(model, settings).close()
            assert caught, f"{option.name}={_wrong(option)!r} was accepted silently"

    def test_declared_defaults_are_accepted(self, backend: Backend, model: Artifact) -> None:
        """Each option takes its own default."""
        given = {option.name: option.default for option in backend.options}
        with backend.load(model, self.settings(options=given)) as session:
            assert dict(session.info.settings.options) == given


def _wrong(option: Option) -> object:
    if option.choices:
        return "none-of-the-choices"
    return ["a", "list"] if option.type is str else "no number"
