"""Repositories as publishers fill them: drafters, adapters and other data are never the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub.errors import NotFound
from gemmahub.formats.gguf_writer import gguf_header
from gemmahub.service import Library
from gemmahub.testing.hub.models import projector, small_model

if TYPE_CHECKING:
    from gemmahub.hub.source import Hub
    from gemmahub.testing.hub.server import HubServer

MODEL = small_model()


def file(about: dict[str, str], *names: str) -> bytes:
    header, full = gguf_header(about, [(name, (32, 8), "F16") for name in names])
    return header + bytes(full - len(header))


DRAFTER = file({"general.architecture": "gemma4-assistant"}, "token_embd.weight", "nextn.p.weight")
ADAPTER = file(
    {"general.architecture": "gemma3", "general.type": "adapter", "adapter.type": "lora"},
    "blk.0.attn_q.weight.lora_a",
    "blk.0.attn_q.weight.lora_b",
)


def resolved(hub: Hub, reference: str) -> list[str]:
    return [file.path for file in hub.resolve(reference).files]


def test_one_model_and_three_drafters_are_one_model(server: HubServer, hub: Hub) -> None:
    model = "gemma-4-E4B-it-qat-UD-Q4_K_XL.gguf"
    drafters = ("mtp-gemma-4-E4B-it.gguf", "MTP/gemma-4-E4B-it-BF16-MTP.gguf",
                "MTP/gemma-4-E4B-it-Q8_0-MTP.gguf")  # fmt: skip
    server.add("user/repo", {model: MODEL, **dict.fromkeys(drafters, DRAFTER)})
    assert resolved(hub, "user/repo") == [model]
    with pytest.raises(NotFound, match="has no BF16"):
        hub.resolve("user/repo:BF16")
    assert resolved(hub, f"hf://user/repo/{drafters[0]}") == [drafters[0]]  # named, it is taken


@pytest.mark.parametrize("label", ["Q8_0", "BF16"])
@pytest.mark.parametrize("drafter", ["mtp-gemma-4-12b-it-{}.gguf", "MTP/gemma-4-12b-it-{}.gguf",
                                     "gemma-4-12b-it-{}-MTP.gguf"])  # fmt: skip
def test_a_label_means_the_model(server: HubServer, hub: Hub, label: str, drafter: str) -> None:
    files = {f"gemma-4-12b-it-{name}.gguf": MODEL for name in ("Q8_0", "BF16", "Q4_K_M")}
    server.add(
        "user/repo", files | {drafter.format(label): DRAFTER, "mmproj-F16.gguf": projector()}
    )
    assert resolved(hub, f"user/repo:{label}") == [f"gemma-4-12b-it-{label}.gguf"]


def test_search_lists_models_and_says_which_embed(server: HubServer, hub: Hub) -> None:
    server.add("user/gemma-4-12b-it-GGUF", {"gemma-4-12b-it-Q8_0.gguf": MODEL,
                                            "MTP/gemma-4-12b-it-Q8_0-MTP.gguf": DRAFTER,
                                            "gemma-4-12b-it-lora.gguf": ADAPTER})  # fmt: skip
    server.add("user/gemma-4-embeddings", {"embeddinggemma-300M-Q8_0.gguf": MODEL})
    found = {file.path: file.kind for row in hub.search("gemma-4") for file in row.files}
    assert found == {
        "gemma-4-12b-it-Q8_0.gguf": "text",
        "embeddinggemma-300M-Q8_0.gguf": "embedding",
    }


def test_an_adapter_under_any_name_is_reported_before_the_download(hub_server: HubServer) -> None:
    hub_server.add("user/story", {"gemma-3-4b-it-story-f16.gguf": ADAPTER})
    with pytest.raises(NotFound, match="is an adapter \\(LoRA\\), not a model") as caught:
        Library().plan_pull("user/story")
    assert "gemmahub pull hf://user/story/gemma-3-4b-it-story-f16.gguf" in caught.value.hint
    plan = Library().plan_pull("hf://user/story/gemma-3-4b-it-story-f16.gguf")
    assert plan.as_json()["kind"] == "adapter"
    assert plan.command.startswith("gemmahub inspect")


def test_a_repository_of_peft_is_an_adapter(server: HubServer, hub: Hub) -> None:
    server.add("user/peft", {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"})
    with pytest.raises(NotFound, match="user/peft is an adapter"):
        hub.resolve("user/peft")


def test_a_repository_of_drafters_alone_gives_them_by_their_names(hub_server: HubServer) -> None:
    hub_server.add("user/heads", {"gemma-4-E2B-it-assistant-Q8_0.gguf": DRAFTER})
    with pytest.raises(NotFound, match="is a drafter, not a model"):
        Library().plan_pull("user/heads")
