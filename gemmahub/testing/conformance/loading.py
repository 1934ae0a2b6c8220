"""Tests of loading and closing: what is refused, what is reported, memory that comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from gemmahub.engines.contract import Artifact, Sampling, Session
from gemmahub.errors import BackendError
from gemmahub.testing.conformance.kit import Kit, demand, only_backend_errors, told

if TYPE_CHECKING:
    from gemmahub.engines.contract import Backend, DeviceUse, DryLoad
    from gemmahub.engines.manager import BackendOffer

_CYCLES: Final = 4
_GROWTH_BYTES: Final = 32 << 20  # of what an allocator keeps for later, after a first round
_ROUNDED: Final = 0.01  # engines report buffers with two decimals of a MiB


class LoadingTests(Kit):
    """Tests of ``load``, ``close`` and ``dry_load``."""

    def test_session_says_what_was_loaded(self, backend: Backend, session: Session) -> None:
        """``info`` has engine, device, the context the engine gave, and the settings in effect."""
        assert isinstance(session, Session), "a session needs info, generate, cancel and close"
        info = session.info
        assert info.engine
        assert info.device
        if "fixed_context" not in backend.capabilities:
            context = told(info.context, "its context; declare the capability fixed_context")
            assert context >= self.context, "the context that was asked for is there"
        assert info.context_trained is None or info.context_trained > 0
        assert info.load_seconds >= 0

    def test_context_is_as_asked(self, backend: Backend, model: Artifact) -> None:
        """A context is what the settings say, rounded up by the engine at most; a fixed one is what
        it is."""
        asked = 2 * self.context
        with backend.load(model, self.settings(context=asked)) as session:
            context = told(session.info.context, "its context")
            assert self.ask(session, max_tokens=1).usage.context in (context, None)
            if "fixed_context" in backend.capabilities:
                with backend.load(model, self.settings()) as other:
                    assert other.info.context == context
            else:
                assert asked <= context <= asked + 1024

    def test_unknown_model_is_refused(self, backend: Backend, model: Artifact) -> None:
        """A model that is not there is a BackendError with a hint."""
        with only_backend_errors("a model that is missing") as caught:
            backend.load(self.unknown_artifact(model), self.settings()).close()
        assert caught, "a model that is missing cannot be loaded"

    def test_progress_is_a_fraction_that_grows(self, backend: Backend, model: Artifact) -> None:
        """``on_progress`` hears of fractions from 0 to 1, in their order, where it hears at all."""
        seen: list[float] = []
        backend.load(model, self.settings(), seen.append).close()
        assert seen == sorted(seen)
        assert all(0 <= fraction <= 1 for fraction in seen)

    def test_close_twice_and_no_use_after_it(self, backend: Backend, model: Artifact) -> None:
        """``close`` may be called twice; a closed session answers with a BackendError."""
        session = backend.load(model, self.settings())
        session.close()
        session.close()
        with only_backend_errors("generate() of a closed session") as caught:
            self.ask(session)
        assert caught, "a closed session answered"
        session.cancel()

    def test_leaving_the_block_closes(self, backend: Backend, model: Artifact) -> None:
        """A session is a context manager that closes itself."""
        with backend.load(model, self.settings()) as session:
            assert self.ask(session).text
        with pytest.raises(BackendError):
            self.ask(session)

    def test_closing_in_an_answer(self, backend: Backend, model: Artifact) -> None:
        """A session that is closed while it answers ends the answer: no crash, no hanging."""
        session = backend.load(model, self.settings())
        chunks = iter(
            session.generate(self.said(self.prompt), Sampling(temperature=0, max_tokens=64))
        )
        next(chunks)
        session.close()
        with only_backend_errors("an answer whose session was closed"):
            assert len(list(chunks)) < 64, "the answer went on after close()"

    def test_two_sessions_answer_the_same(self, backend: Backend, model: Artifact) -> None:
        """Nothing of a closed session is left: the next one gives the same text."""
        texts = []
        for _ in range(2):
            with backend.load(model, self.settings()) as session:
                texts.append(self.ask(session).text)
        assert texts[0] == texts[1] != ""

    # --- memory --------------------------------------------------------------------------------

    def test_memory_comes_back(
        self, backend: Backend, offer: BackendOffer, model: Artifact
    ) -> None:
        """Two sessions one after the other: the memory of the first is free before the second.

        A library's worker process has ended after ``close``; other engines hold no more after
        several sessions than after the first ones.
        """
        if backend.in_process:
            self._worker_ends(offer, model)
            return
        held: list[int] = []
        for _ in range(_CYCLES):
            with backend.load(model, self.settings()) as session:
                self.ask(session, max_tokens=2)
            found = self.memory_held()
            if found is None:
                pytest.skip("this system does not say how much memory the engine holds")
            held.append(found)
        assert held[-1] - held[1] < _GROWTH_BYTES, f"after each session: {held}"

    def _worker_ends(self, offer: BackendOffer, model: Artifact) -> None:
        from gemmahub.engines.isolated import load_isolated
        from gemmahub.engines.resident import resident_memory

        texts = []
        for _ in range(2):
            with load_isolated(offer, model, self.settings()) as session:
                texts.append(self.ask(session).text)
                known = resident_memory(session.pid) is not None
            assert resident_memory(session.pid) is None, "the worker process has not ended"
            if not known:
                pytest.skip("this system does not say how much memory a process holds")
        assert texts[0] == texts[1]

    def test_worker_gives_the_same_answer(
        self, backend: Backend, offer: BackendOffer, model: Artifact, session: Session
    ) -> None:
        """Through the worker process all is the same: info, text, and why the answer ended."""
        if not backend.in_process:
            pytest.skip(f"{backend.name} does not run in the worker process: in_process is False")
        from gemmahub.engines.isolated import load_isolated

        direct = self.ask(session)
        with load_isolated(offer, model, self.settings()) as isolated:
            answer = self.ask(isolated)
            assert isolated.info.engine == session.info.engine
            assert isolated.info.settings == session.info.settings
        assert answer.text == direct.text
        assert answer.usage.finish_reason == direct.usage.finish_reason

    # --- what is reported ----------------------------------------------------------------------

    def test_precision_is_the_files(self, session: Session, model: Artifact) -> None:
        """``info.precision`` is the label that gemmahub itself reads in the file."""
        from gemmahub.registry.artifacts import read_summary

        if not isinstance(model, Artifact):
            pytest.skip("the model is not a file on this machine: its precision is only stated")
        if not session.info.precision:
            pytest.skip("the engine does not say the precision of what it loaded (info.precision)")
        assert session.info.precision == read_summary(model.path, self.own_readers).label

    def test_memory_report(self, session: Session) -> None:
        """What the engine says it allocated holds at least weights, by device."""
        memory = session.info.memory
        if memory is None:
            pytest.skip("the engine does not say what it allocated (info.memory)")
        assert sum(use.weights_bytes for use in memory) > 0
        assert len({use.device for use in memory}) == len(memory), "one row a device"

    def test_dry_load_agrees_with_the_load(
        self, backend: Backend, session: Session, model: Artifact
    ) -> None:
        """What the dry load says is what the load then takes."""
        demand(backend, "dry_load")
        assert isinstance(model, Artifact)
        found = backend.dry_load(model, self.settings())
        assert found.context == session.info.context
        assert found.settings.context == found.context
        assert found.kv_cache_global_bytes + found.kv_cache_window_bytes == found.kv_cache_bytes
        _adds_up(found)
        if session.info.memory is not None:
            _agree(found.devices, session.info.memory)

    def test_dry_load_of_an_unknown_model_is_refused(
        self, backend: Backend, model: Artifact
    ) -> None:
        """As a load of it."""
        demand(backend, "dry_load")
        with only_backend_errors("a dry load of a model that is missing") as caught:
            unknown = self.unknown_artifact(model)
            assert isinstance(unknown, Artifact)
            backend.dry_load(unknown, self.settings())
        assert caught


def _adds_up(found: DryLoad) -> None:
    """The devices are the whole."""
    for part in ("weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes"):
        assert sum(getattr(use, part) for use in found.devices) == getattr(found, part), part


def _agree(dry: tuple[DeviceUse, ...], real: tuple[DeviceUse, ...]) -> None:
    """Device by device; figures may be rounded differently."""
    there = {use.device: use for use in real}
    assert {use.device for use in dry} == set(there)
    for use in dry:
        for part in ("weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes"):
            wanted, got = getattr(use, part), getattr(there[use.device], part)
            assert got == pytest.approx(wanted, rel=_ROUNDED, abs=1 << 14), (use.device, part)
