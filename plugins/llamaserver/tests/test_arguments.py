"""From settings to arguments: exactly what was planned, in the words of each build."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from gemmahub.engines.contract import EngineDevice, Settings
from gemmahub.errors import LoadFailed
from gemmahub_llamaserver.arguments import Api, Beside, check_settings, filled_in, words
from gemmahub_llamaserver.backend import LlamaServerBackend
from gemmahub_llamaserver.build import Build
from gemmahub_llamaserver.programs import find_build

DEVICES = [
    EngineDevice("CPU", "cpu"),
    EngineDevice("CUDA0", "cuda"),
    EngineDevice("CUDA1", "cuda"),
]
OLD = frozenset(
    f"--{name}"
    for name in (
        "ctx-size", "parallel", "batch-size", "ubatch-size", "cache-type-k", "cache-type-v",
        "flash-attn", "threads", "gpu-layers", "device", "tensor-split", "main-gpu", "no-mmap",
        "mlock", "swa-full",
    )
)  # fmt: skip


def said(
    build: Build | None = None, projector: Path | None = None, **settings: object
) -> dict[str, str]:
    """The arguments with their values; "" for those without one."""
    options = {option.name: option.default for option in LlamaServerBackend.options}
    options |= settings.pop("options", {})  # type: ignore[arg-type]
    wanted = Settings(**{"context": 4096, "threads": 2} | settings, options=options)  # type: ignore[arg-type]
    check_settings(wanted)
    found = words(build or find_build(), Path("m.gguf"), wanted, DEVICES, Beside(projector))
    names = [place for place, word in enumerate(found) if word.startswith("--")]
    values = {}
    for start, end in zip(names, [*names[1:], len(found)], strict=True):
        values[found[start]] = " ".join(found[start + 1 : end])
    return values


def old(arguments: frozenset[str] = OLD) -> Build:
    return Build(("llama-server",), "PATH", "abcdef1", 6400, arguments)


def test_it_takes_what_was_planned_and_nothing_more() -> None:
    found = said(cache_type_k="q8_0", cache_type_v="q4_0", ubatch=256)
    wanted = {
        "--model": "m.gguf", "--host": "127.0.0.1", "--ctx-size": "4096", "--parallel": "1",
        "--batch-size": "256", "--ubatch-size": "256", "--cache-type-k": "q8_0",
        "--cache-type-v": "q4_0", "--flash-attn": "on", "--threads": "2", "--threads-batch": "2",
        "--load-mode": "mmap", "--lazy-mode": "off", "--cache-ram": "0", "--ctx-checkpoints": "1",
        "--fit": "off", "--no-warmup": "", "--offline": "", "--chat-template": "chatml",
    }  # fmt: skip
    assert {name: found.get(name) for name in wanted} == wanted
    assert "--swa-full" not in found
    assert "--mmproj" not in found


def test_options_are_arguments() -> None:
    found = said(
        options={"swa_full": True, "mlock": True, "mmap": False, "prompt_cache": 64,
                 "checkpoints": 3},
        projector=Path("mmproj.gguf"), flash_attention=False,
    )  # fmt: skip
    assert (found["--load-mode"], found["--cache-ram"], found["--ctx-checkpoints"]) == (
        "mlock", "64", "3",
    )  # fmt: skip
    assert found["--flash-attn"] == "off"
    assert found["--mmproj"] == "mmproj.gguf"
    assert "--swa-full" in found


def test_an_older_build_is_spoken_to_in_its_words() -> None:
    found = said(old(), options={"mmap": False, "mlock": True})
    assert "--no-mmap" in found
    assert "--mlock" in found
    assert not {"--load-mode", "--fit", "--cache-ram", "--offline"} & found.keys()
    assert not {"--no-mmap", "--mlock"} & said(old()).keys()


def test_what_a_build_cannot_do_is_refused_and_not_left_out() -> None:
    with pytest.raises(LoadFailed, match="has no --n-cpu-moe"):
        said(old(), experts_in_memory=4)
    with pytest.raises(LoadFailed, match="has no --no-mmap"):
        said(old(OLD - {"--no-mmap"}), options={"mmap": False})


# --- placement -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"--gpu-layers": "999"}),
        ({"gpu_layers": 0}, {"--gpu-layers": "0", "--device": "none"}),
        ({"cache_in_memory": True}, {"--no-kv-offload": ""}),
        ({"gpu_layers": 12}, {"--gpu-layers": "12"}),
        ({"options": {"devices": "cuda:1"}}, {"--device": "CUDA1"}),
        ({"options": {"devices": "CUDA1, CUDA0"}}, {"--device": "CUDA1,CUDA0"}),
        ({"main_device": "CUDA1"}, {"--device": "CUDA1"}),
        ({"tensor_split": (3.0, 1.0)}, {"--tensor-split": "3,1"}),
        ({"tensor_split": (0.6, 0.4), "main_device": "CUDA1"},
         {"--tensor-split": "0.6,0.4", "--main-gpu": "1"}),
        ({"tensor_split": (3.0, 1.0), "main_device": "CUDA1",
          "options": {"devices": "CUDA1,CUDA0"}},
         {"--device": "CUDA1,CUDA0", "--tensor-split": "3,1", "--main-gpu": "0"}),
        ({"experts_in_memory": 7}, {"--n-cpu-moe": "7"}),
        ({"remote_workers": ("a:1", "b:2")}, {"--rpc": "a:1,b:2"}),
    ],
)  # fmt: skip
def test_placement(settings: dict[str, object], expected: dict[str, str]) -> None:
    found = said(**settings)
    names = {"--device", "--tensor-split", "--main-gpu", "--n-cpu-moe", "--no-kv-offload"}
    shown = {name: value for name, value in found.items() if name in names | expected.keys()}
    assert shown == expected


@pytest.mark.parametrize(
    "settings",
    [
        {"main_device": "CUDA7"},
        {"options": {"devices": "CUDA0,XPU0"}},
        {"main_device": "CUDA0", "options": {"devices": "CUDA1"}},
    ],
)
def test_a_device_that_is_not_there_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(LoadFailed, match=r"finds no device .*"):
        said(**settings)


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"context": 0},
        {"context": 2**40},
        {"threads": -1},
        {"ubatch": 0},
        {"parallel": 0},
        {"cache_type_k": "q9_9"},
        {"cache_type_v": "q8_0", "flash_attention": False},
        {"experts_in_memory": -1},
        {"tensor_split": (1.0, float("nan"))},
        {"options": {"prompt_cache": -1}},
        {"options": {"checkpoints": 2**40}},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(LoadFailed):
        said(**settings)


@pytest.mark.parametrize(("trained", "context"), [(None, 8192), (512, 512), (131072, 8192)])
def test_gaps_are_filled(trained: int | None, context: int) -> None:
    found = filled_in(Settings(), trained)
    assert found.context == context
    assert found.threads
    assert filled_in(Settings(context=64, threads=3), trained).threads == 3


@pytest.mark.parametrize("has_template", [True, False])
def test_other_programs_get_gemmas_defaults_and_the_files_own_template(has_template: bool) -> None:
    wanted = filled_in(
        Settings(context=512, options=LlamaServerBackend().check_options(Settings())), None
    )
    found = words(
        find_build(), Path("m.gguf"), wanted, None, Beside(), Api("a,b:q4_0", has_template)
    )
    after = dict(itertools.pairwise(found))
    assert after["--alias"] == "a b:q4_0"  # a comma would make two of it
    sampling = [float(after[name]) for name in ("--temp", "--top-k", "--top-p", "--min-p")]
    assert sampling == [1.0, 64, 0.95, 0.0]
    assert after["--reasoning"] == "off"
    assert ("--chat-template" in found) is not has_template
    assert "chatml" not in found
    assert after["--parallel"] == "1"


def test_a_drafter_lies_where_the_model_lies() -> None:
    beside = Beside(drafter=Path("mtp.gguf"), draft_type="draft-mtp")
    for layers, said_layers in ((0, "0"), (None, "999"), (7, "999")):
        wanted = filled_in(
            Settings(
                context=512,
                cache_type_k="q8_0",
                gpu_layers=layers,
                options=LlamaServerBackend().check_options(Settings()),
            ),
            None,
        )
        found = words(find_build(), Path("m.gguf"), wanted, DEVICES, beside)
        after = dict(itertools.pairwise(found))
        assert after["--spec-draft-model"] == "mtp.gguf"
        assert after["--spec-type"] == "draft-mtp"
        assert after["--spec-draft-ngl"] == said_layers
        assert after["--spec-draft-type-k"] == "q8_0"
