"""Tests of what backends may offer besides answers: scores, vectors, files, servers, devices."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from gemmahub.engines.contract import (
    Adapter,
    Artifact,
    BrokenEntry,
    EngineDevice,
    Loadable,
    Quantization,
    ScoredText,
    ServedModel,
)
from gemmahub.testing.conformance.kit import Kit, demand, only_backend_errors, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gemmahub.engines.contract import Backend, Session

_WINDOW: Final = 32
_KEY: Final = "a-key-of-the-tests"


class OfferingTests(Kit):
    """Tests of ``score``, ``embed``, ``quantize``, ``serve``, ``unload``, devices, settings."""

    def test_scores_are_log_probabilities(self, backend: Backend, session: Session) -> None:
        """One for each token of each window but the first ones, at most 0, the same each time."""
        demand(backend, "score")
        text = f"{self.prompt} " * 40
        windows = list(session.score(text, _WINDOW))
        assert windows, "no window came of a text of several hundred words"
        for window in windows:
            assert isinstance(window, ScoredText)
            assert len(window.tokens) == _WINDOW
            assert 0 < window.unscored < _WINDOW
            assert window.windows in (0, len(windows))
            assert len(window.log_probabilities) == _WINDOW - window.unscored
            assert all(math.isfinite(found) and found <= 1e-6 for found in window.log_probabilities)
        same = list(session.score(text, _WINDOW)) == windows
        assert same, "the same text has other scores the second time"

    def test_scores_with_the_most_probable_tokens(self, backend: Backend, session: Session) -> None:
        """The best first, none less probable than the text's own token is at the top."""
        demand(backend, "score")
        (window, *_) = session.score(f"{self.prompt} " * 40, _WINDOW, 5)
        assert len(window.top_tokens) == len(window.top_log_probabilities)
        assert len(window.top_tokens) == len(window.log_probabilities)
        rows = zip(window.top_tokens, window.top_log_probabilities, strict=True)
        for (tokens, best), own in zip(rows, window.log_probabilities, strict=True):
            assert 0 < len(tokens) == len(best) <= 5
            assert list(best) == sorted(best, reverse=True)
            assert best[0] >= own - 1e-4
            assert sum(map(math.exp, best)) <= 1 + 1e-3

    def test_scores_of_named_tokens(self, backend: Backend, session: Session) -> None:
        """Only of the windows asked for, and as probable as where they are the text's own."""
        demand(backend, "score_at")
        text = f"{self.prompt} " * 40
        whole = list(session.score(text, _WINDOW, 2))
        second = whole[1]
        row = (second.tokens[-1], second.tokens[-2])
        found = list(session.score_at(text, 1, [[row] * _WINDOW], _WINDOW))
        assert [window.tokens for window in found] == [second.tokens]
        (window,) = found
        assert window.log_probabilities == pytest.approx(second.log_probabilities, abs=1e-5)
        assert len(window.at_log_probabilities) == len(window.log_probabilities)
        assert all(len(values) == len(row) for values in window.at_log_probabilities)
        own = second.log_probabilities[-1]
        assert window.at_log_probabilities[-1][0] == pytest.approx(own, abs=1e-5)
        assert [w.tokens for w in session.score_at(text, 1, (), _WINDOW)] == [
            w.tokens for w in whole[1:]
        ]

    def test_a_window_larger_than_the_context(self, backend: Backend, session: Session) -> None:
        """Is refused with a BackendError."""
        demand(backend, "score")
        size = told(session.info.context, "its context")
        with only_backend_errors("a window larger than the context") as caught:
            list(session.score(f"{self.prompt} " * 40, size + 1))
        assert caught

    def make_embedder(self, folder: Path) -> Artifact | None:
        """A model that makes vectors, where that of ``make_artifact`` only writes."""
        return None

    def test_vectors_of_texts(self, backend: Backend, session: Session, tmp_path: Path) -> None:
        """All of one length, the same for the same text, another one for another text. A model
        that only writes says so, and goes on."""
        demand(backend, "embed")
        texts = [self.prompt, "something else", self.prompt]
        embedder = self.make_embedder(tmp_path)
        if embedder is None:
            first, other, again = session.embed(texts)
        else:
            with only_backend_errors("vectors of a model that only writes") as caught:
                session.embed(texts)
            assert caught
            assert self.ask(session, max_tokens=1).usage
            with backend.load(embedder, self.settings()) as asked:
                first, other, again = asked.embed(texts)
        assert len(first) == len(other) > 1
        assert all(math.isfinite(number) for number in (*first, *other))
        assert tuple(first) == tuple(again)
        assert tuple(first) != tuple(other)

    def test_a_model_at_another_precision(
        self, backend: Backend, model: Artifact, tmp_path: Path
    ) -> None:
        """The target is written, the model stays as it is, progress is a fraction that grows."""
        demand(backend, "quantize")
        before = model.path.stat()
        seen: list[float] = []
        wanted = Quantization(self.quantize_label, tmp_path / "made.gguf")
        backend.quantize(model, wanted, seen.append)
        assert wanted.target.exists()
        assert (before.st_size, before.st_mtime_ns) == (
            model.path.stat().st_size,
            model.path.stat().st_mtime_ns,
        )
        assert seen == sorted(seen)
        assert all(0 <= fraction <= 1 for fraction in seen)
        with backend.load(Artifact(model.format, wanted.target), self.settings()) as session:
            assert self.ask(session, max_tokens=1).usage

    def test_a_precision_that_the_engine_does_not_make(
        self, backend: Backend, model: Artifact, tmp_path: Path
    ) -> None:
        """Is refused, and no half of a file stays."""
        demand(backend, "quantize")
        target = tmp_path / "made.gguf"
        with only_backend_errors("a type that there is not") as caught:
            backend.quantize(model, Quantization("Q99_Z", target))
        assert caught
        assert not target.exists()

    def test_an_importance_matrix(self, backend: Backend, model: Artifact, tmp_path: Path) -> None:
        """Is made from a text, and the quantizer takes it; a text of a word is refused."""
        demand(backend, "importance")
        target = tmp_path / "imatrix.gguf"
        backend.make_importance(model, f"{self.prompt} " * 250, target)
        wanted = Quantization(self.quantize_label, tmp_path / "made.gguf", importance=target)
        backend.quantize(model, wanted)
        assert wanted.target.exists()
        with only_backend_errors("an importance matrix from a word") as caught:
            backend.make_importance(model, "word", tmp_path / "none.gguf")
        assert caught
        assert not (tmp_path / "none.gguf").exists()

    def test_a_served_model_answers(self, backend: Backend, model: Artifact) -> None:
        """As OpenAI's API does, on this machine only, to nobody without the key, until it ends."""
        demand(backend, "serve")
        server = backend.serve(model, self.settings(), _KEY)
        try:
            assert server.address.startswith(("http://127.0.0.1:", "http://[::1]:"))
            assert server.info.engine
            models = _asked(f"{server.address}/v1/models", key=_KEY)["data"]
            assert models, "it lists no model"
            question = {
                "model": models[0]["id"],
                "messages": [{"role": "user", "content": self.prompt}],
                "max_tokens": 8,
            }
            answer = _asked(f"{server.address}/v1/chat/completions", question, key=_KEY)
            assert answer["choices"][0]["message"]["content"]
            with pytest.raises(HTTPError) as refused:
                _asked(f"{server.address}/v1/models")
            refused.value.close()
            assert refused.value.code in (401, 403), "it answers without the key"
        finally:
            server.close()
        server.close()
        with pytest.raises(URLError):
            _asked(f"{server.address}/v1/models", key=_KEY)

    def test_unloading_what_is_not_loaded(self, backend: Backend) -> None:
        """Is no failure."""
        demand(backend, "unload")
        with only_backend_errors("unload() of a model that is not loaded") as caught:
            backend.unload("no-such-model")
        assert not caught, "it is not loaded, as was asked"

    def test_devices(self, backend: Backend) -> None:
        """Each has a name of its own; None where the engine does not say them."""
        with only_backend_errors("devices()"):
            found = backend.devices()
            if found is None:
                return
            assert all(isinstance(device, EngineDevice) for device in found)
            assert len({device.name for device in found}) == len(found)
            assert all(device.api == device.api.lower() != "" for device in found)

    def test_served_models(self, backend: Backend) -> None:
        """Each says its backend, its own name, and a reference of the form SERVER://NAME; a server
        that fails is named with its reason."""
        with only_backend_errors("served()"):
            answer = list(backend.served(2.0))
            broken = [each for each in answer if isinstance(each, BrokenEntry)]
            assert all(each.reason.strip() for each in broken), "a server fails without a reason"
            found = [each for each in answer if not isinstance(each, BrokenEntry)]
            assert all(isinstance(model, ServedModel) for model in found)
            assert all(model.backend == backend.name and model.name for model in found)
            assert all("://" in model.reference for model in found)
            assert len({model.reference for model in found}) == len(found)

    def test_what_can_be_loaded_is_said(self, backend: Backend, model: Artifact) -> None:
        """The model of the tests can; a file of no known architecture may."""
        from gemmahub.formats.detect import open_model

        if not isinstance(model, Artifact) or not model.path.stat().st_size:
            pytest.skip("the model is not a file with a header")
        answer = backend.loadable(open_model(model.path, further=self.own_readers))
        assert isinstance(answer, Loadable)
        assert answer.ok, f"the model of the tests cannot be loaded: {answer.reason}"

    @pytest.mark.parametrize("setting", ["drafter", "adapters", "main_device"])
    def test_a_setting_with_what_is_not_there(
        self, backend: Backend, model: Artifact, tmp_path: Path, setting: str
    ) -> None:
        """Is refused: nothing that was declared is ignored."""
        demand(backend, setting)
        missing = tmp_path / "no-such-file.gguf"
        values = {"drafter": missing, "adapters": (Adapter(missing),), "main_device": "XPU99"}
        with only_backend_errors(f"{setting} that is missing") as caught:
            backend.load(model, self.settings(**{setting: values[setting]})).close()
        assert caught, f"{setting} was ignored in silence"


def _asked(url: str, body: dict[str, Any] | None = None, key: str = "") -> Any:
    """What a server answers. Raises: HTTPError, URLError."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    opener: Callable[..., Any] = build_opener(ProxyHandler({})).open
    with opener(Request(url, data=data, headers=headers), timeout=60) as answer:
        return json.load(answer)
