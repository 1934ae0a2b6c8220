"""The loader finds what is there, and refuses a catalogue with a typing error in it."""

from __future__ import annotations

from importlib.resources import files

import pytest

from gemmahub.catalog.loader import catalog_from, load_catalog
from gemmahub.catalog.table import CatalogError

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

MINIMAL = f"""
[family]
name = "gemma3"
title = "Gemma 3"
licence = "Gemma Terms of Use"
licence_url = "https://ai.google.dev/gemma/terms"
released = "2025-03-12"
source = "a source"

[sizes.270m]
architecture = "gemma3"
layers = 2
embedding_length = 640
feed_forward_length = [[2048, 2]]
heads = 4
kv_heads_local = 1
head_dim_local = 256
sliding_window = 512
pattern_period = 6
vocabulary = 262144
context_length = 32768
tied_embedding = true
parameters = 1
capabilities = ["text"]
source = "a source"

[[models]]
name = "gemma-3-270m"
title = "Gemma 3 270M"
size = "270m"
instruction_tuned = false

[[models.variants]]
name = "q4_k_m"
label = "Q4_K_M"
training = "unknown"
training_basis = "none"
repository = "owner/name"
file = "model.gguf"
bytes = 253113024
sha256 = "{SHA256}"
content = "something"
types = {{ mix = "Q4_K_M" }}
grade = "A"
source = "a source"
"""


def test_a_minimal_catalogue_loads() -> None:
    catalog = catalog_from({"x.toml": MINIMAL})
    assert [m.name for m in catalog.models] == ["gemma-3-270m"]
    assert catalog.models[0].released == "2025-03-12"


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('label = "Q4_K_M"', 'lable = "Q4_K_M"', "variants q4_k_m: unknown key lable"),
        ('grade = "A"', 'grade = "A"\nsize_gb = 3', "unknown key size_gb"),
        ('[family]\nname = "gemma3"', '[family]\nnaem = "x"\nname = "gemma3"', "unknown key naem"),
        ("heads = 4\n", "", "heads is missing"),
        ("heads = 4\n", 'heads = "4"\n', "heads: expected a whole number, got a text"),
        ("heads = 4\n", "heads = true\n", "sizes 270m: heads: expected a whole number"),
        ("heads = 4\n", "heads = 0\n", "heads: expected a whole number >= 1"),
        (SHA256, SHA256[:-1], "not 64 lower-case hexadecimal digits"),
        (SHA256, SHA256.upper(), "not 64 lower-case hexadecimal digits"),
        ('grade = "A"', 'grade = "U"', "grade: 'U' is not one of A, B, C"),
        ('grade = "A"', 'grade = "D"', "not one of A, B, C"),
        ('grade = "A"', 'grade = "A"\nrevision = "abc"', "not 40 lower-case"),
        ('training = "unknown"', 'training = "qat"', "not one of QAT"),
        ('"owner/name"', '"name"', "not owner/name"),
        ("bytes = 253113024", "bytes = -1", "bytes: expected a whole number >= 1"),
        ('mix = "Q4_K_M"', 'mix = "Q4_X"', "not one of"),
        ('mix = "Q4_K_M"', 'mix = "Q4_K_M", default = "Q4_0"', "not both"),
        ('mix = "Q4_K_M"', 'default = "Q9_0"', "not one of"),
        ("[[2048, 2]]", "[[2048, 3]]", "for 3 layers of 2"),
        ("[[2048, 2]]", "[2048]", "feed_forward_length[0]: expected a list, got a whole number"),
        ('["text"]', '["smell"]', "'smell' is not one of text, image, audio"),
        ('size = "270m"', 'size = "280m"', "not one of 270m"),
        (
            'architecture = "gemma3"',
            'architecture = "gemma9"',
            "'gemma9' is not one of gemma, gemma-embedding, gemma2",
        ),
        ('released = "2025-03-12"', 'released = "2025-13-12"', "not a date"),
        ('name = "gemma-3-270m"', 'name = "Gemma-3-270m"', "lower case"),
        ('grade = "A"', 'grade = "A"\nprojector = "missing"', "not among the files"),
        ("[family]", "[family", "x.toml"),
        ('label = "Q4_K_M"\n', "", "variants q4_k_m: label is missing"),
        ('label = "Q4_K_M"', 'label = "U"', "leave out what is not verified"),
        ("heads = 4\n", "heads = 4.0\n", "heads: expected a whole number"),
        ("parameters = 1\n", "parameters = 1\nfinal_softcap = nan\n", "final_softcap: expected"),
        ("parameters = 1\n", "parameters = 1\nimage_tokens = [1]\n", "image_tokens: expected"),
        ('source = "a source"\n\n[sizes', "x = " + "[" * 5000, "x.toml: "),
        ("[[2048, 2]]", "[[2048, 9223372036854775807]]", "layers of 2"),
    ],
)
def test_typing_errors_are_refused(old: str, new: str, complaint: str) -> None:
    assert old in MINIMAL
    with pytest.raises(CatalogError, match=complaint.replace("[", r"\[")):
        catalog_from({"x.toml": MINIMAL.replace(old, new)})


@pytest.mark.parametrize(
    ("addition", "complaint"),
    [
        (MINIMAL[MINIMAL.index("[[models.variants]]") :], "variant gemma-3-270m:q4_k_m"),
        (MINIMAL[MINIMAL.index("[[models]]") :], "model gemma-3-270m"),
        (
            MINIMAL[MINIMAL.index("[[models.variants]]") :].replace("q4_k_m", "other"),
            f"sha256 {SHA256}",
        ),
    ],
)
def test_duplicates_are_refused(addition: str, complaint: str) -> None:
    with pytest.raises(CatalogError, match=f"{complaint} occurs twice"):
        catalog_from({"x.toml": MINIMAL + addition})


def test_a_tag_of_an_unknown_model_is_refused() -> None:
    tag = (
        '\n[published]\nscheme = "d"\nplace = "p"\nas_of = "2026-05-05"\nsource = "s"\n'
        'tags = [{ tag = "x:y", resolves_to = "z", '
        'model = "nobody", label = "Q4_0", training = "PTQ", size = "1GB", context = 1, '
        'grade = "C" }]\n'
    )
    with pytest.raises(CatalogError, match="unknown model nobody"):
        catalog_from({"x.toml": MINIMAL + tag})


def test_a_file_that_nobody_uses_is_refused() -> None:
    file = (
        f'\n[files.spare]\nrepository = "o/n"\nfile = "f"\nbytes = 1\nsha256 = "{SHA256}"\n'
        'grade = "A"\nsource = "s"\n'
    )
    with pytest.raises(CatalogError, match="no variant uses: spare"):
        catalog_from({"x.toml": MINIMAL + file})


def test_the_catalogue_is_read_once() -> None:
    assert load_catalog() is load_catalog()


def test_shipped_files_are_package_data() -> None:
    names = {p.name for p in files("gemmahub.catalog").iterdir() if p.name.endswith(".toml")}
    assert names == {"gemma3.toml", "gemma3n.toml", "gemma4.toml"}


def test_lookups() -> None:
    catalog = load_catalog()
    variant = catalog.variant("Gemma-3-4B-it", "Q4_0-QAT")
    assert variant is not None
    assert variant.reference == "gemma-3-4b-it:q4_0-qat"
    assert variant.confirmed
    assert variant.sha256 is not None
    assert variant.bytes is not None
    assert catalog.by_sha256(variant.sha256.upper()) is variant
    assert catalog.by_file("Google/gemma-3-4b-it-qat-q4_0-gguf", variant.file) is variant
    assert catalog.by_name_and_bytes(variant.file, variant.bytes) is variant
    assert catalog.by_name_and_bytes(variant.file, variant.bytes + 1) is None
    assert catalog.by_sha256("0" * 64) is None
    assert catalog.model("gemma-5-1b") is None
    assert catalog.variant("gemma-5-1b", "q4_0") is None
    assert catalog.variant("gemma-3-4b-it", "q1_0") is None
    family = catalog.family("gemma4")
    assert family is not None
    assert family.licence == "Apache-2.0"


def test_tags_of_other_sources_are_found_by_name_and_by_reference() -> None:
    catalog = load_catalog()
    tag = catalog.published("gemma3:4b")
    assert tag is not None
    assert (tag.label, tag.training, tag.digest) == ("Q4_K_M", "PTQ", "a2af6cc3eb7f")
    latest = catalog.published("Gemma3")
    assert latest is not None
    assert latest.reference == "ollama://gemma3:latest"
    assert catalog.published("ollama://gemma3") is latest
    assert catalog.published("ollama://Gemma3:4b") is tag
    assert catalog.published("gemma9:4b") is None
    # The digest of a tag whose whole manifest hash is known is its beginning.
    qat = catalog.published("gemma4:31b-it-qat")
    assert qat is not None
    assert qat.digest == "e0812a55773b"
    assert qat.grade == "C"


def test_what_differs_from_layer_to_layer() -> None:
    catalog = load_catalog()
    model = catalog.model("gemma-4-31b-it")
    assert model is not None
    a = model.architecture
    assert [a.is_local(n) for n in range(6)] == [True] * 5 + [False]
    assert (a.kv_heads(0), a.kv_heads(5), a.head_dim(0), a.head_dim(5)) == (16, 4, 256, 512)
    small = catalog.model("gemma-4-e2b-it")
    assert small is not None
    s = small.architecture
    assert [s.owns_kv(n) for n in (0, 14, 15, 34)] == [True, True, False, False]
    assert (s.feed_forward_length[14], s.feed_forward_length[15]) == (6144, 12288)
