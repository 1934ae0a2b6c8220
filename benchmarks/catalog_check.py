"""Holds the catalogue against the hub and Ollama's registry, and prints the TOML to take in.

For maintainers, where there is a network: new revisions, changed and missing files, files that the
catalogue has not, tags that were moved. What only a person can say is ``FILL IN``, which the
catalogue does not load. HF_ENDPOINT and GEMMAHUB_OLLAMA_REGISTRY name other servers.

    python -m benchmarks.catalog_check [--only WORD] [--no-hub] [--no-tags]

Exit code: 0 where all is as the catalogue says, 1 where something is not, 6 where something could
not be asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gemmahub.catalog.loader import load_catalog
from gemmahub.catalog.records import WHOLE
from gemmahub.errors import ExitCode, GemmahubError, NotFound
from gemmahub.formats.kinds import ADAPTER, IMATRIX, kind_of
from gemmahub.hub.client import HubClient
from gemmahub.hub.listing import fetch_repository
from gemmahub.hub.remembered import Remembered
from gemmahub.precision.labels import label_in_name
from gemmahub_ollama.place import place_of
from gemmahub_ollama.registry import RegistryClient

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gemmahub.catalog.published import PublishedTag
    from gemmahub.catalog.records import Catalog, CatalogFile, CatalogVariant
    from gemmahub.hub.records import HubFile, Repository

FILL_IN: Final = "FILL IN"
SCHEME: Final = "ollama"


@dataclass(frozen=True)
class Finding:
    """One difference: ``what`` in one line, and the TOML of what there is now ("" for none).

    ``asked`` is False where the answer could not be had, which is no difference.
    """

    what: str
    toml: str = ""
    asked: bool = True

    def __str__(self) -> str:
        return f"# {self.what}\n{self.toml}"


def check_hub(catalog: Catalog, client: HubClient, only: str = "") -> Iterator[Finding]:
    """What the repositories of the catalogue have that it says otherwise, or has not."""
    known = files_of(catalog)
    for name in sorted({file.repository for file in known}, key=str.lower):
        if only.lower() not in name.lower():
            continue
        own = [file for file in known if file.repository.lower() == name.lower()]
        try:
            repository = fetch_repository(client, Remembered(None), name, None)
        except GemmahubError as error:
            yield Finding(f"{name}: {error.message}", asked=isinstance(error, NotFound))
            continue
        yield from _of_repository(own, repository)


def check_tags(catalog: Catalog, client: RegistryClient, only: str = "") -> Iterator[Finding]:
    """Tags of Ollama's registry that are other ones than the catalogue knows, or have gone."""
    for tag in catalog.published_tags:
        if tag.scheme != SCHEME or only.lower() not in tag.tag:
            continue
        try:
            text = client.manifest(place_of(tag.tag))
            size = _size_of(text)
        except (GemmahubError, ValueError, TypeError, KeyError) as error:
            yield Finding(f"{tag.reference}: {error}", asked=isinstance(error, NotFound))
            continue
        found = _of_tag(tag, hashlib.sha256(text).hexdigest(), size)
        if found is not None:
            yield found


def files_of(catalog: Catalog) -> list[CatalogVariant | CatalogFile]:
    """Each file that the catalogue has, once: of the models, and what belongs to them."""
    found: dict[tuple[str, str], CatalogVariant | CatalogFile] = {}
    for variant in catalog.variants:
        for file in (variant, variant.projector, variant.drafter):
            if file is not None:
                found.setdefault((file.repository.lower(), file.file), file)
    return list(found.values())


def _of_repository(
    own: Sequence[CatalogVariant | CatalogFile], repository: Repository
) -> Iterator[Finding]:
    there = {file.path: file for file in repository.files}
    for file in own:
        now, place = there.get(file.file), f"{file.repository} {file.file}"
        if file.file == WHOLE:
            yield from _of_folder(file, repository)
        elif now is None:
            yield Finding(f"{place}: gone from main at {repository.commit}")
        elif _is_other(file, now):
            yield Finding(f"{place}: replaced", _changed(file, now))
        elif None in (file.bytes, file.sha256):
            yield Finding(f"{place}: what the catalogue left open", _figures(now))
        elif file.revision != repository.commit:
            line = f'revision = "{repository.commit}"\n'
            yield Finding(f"{place}: the same file at another revision", line)
    have = {file.file for file in own}
    for path in sorted(there.keys() - have):
        if path.lower().endswith(".gguf") and kind_of(path) not in (ADAPTER, IMATRIX):
            yield Finding(f"{repository.name} {path}: not in the catalogue", _new(there[path]))


def _of_folder(own: CatalogVariant | CatalogFile, repository: Repository) -> Iterator[Finding]:
    """A folder has no hash of its own: at another revision any of its files may be another one."""
    weights = [file for file in repository.files if file.path.endswith(".safetensors")]
    if not weights:
        yield Finding(f"{own.repository}: has no weights any more at {repository.commit}")
    elif own.revision != repository.commit:
        size = sum(file.size for file in repository.files)
        lines = f'revision = "{repository.commit}"\nbytes = {size}  # of all its files\n'
        yield Finding(f"{own.repository}: a folder at another revision", lines)


def _is_other(file: CatalogVariant | CatalogFile, now: HubFile) -> bool:
    """Whether the content is another one, as far as both sides say it."""
    differs = None not in (file.sha256, now.sha256) and file.sha256 != now.sha256
    return differs or (file.bytes is not None and file.bytes != now.size)


def _figures(now: HubFile) -> str:
    sha256 = f'sha256 = "{now.sha256}"\n' if now.sha256 else ""
    return f'bytes = {now.size}\n{sha256}revision = "{now.commit}"\n'


def _changed(file: CatalogVariant | CatalogFile, now: HubFile) -> str:
    """The figures of now, and what was there before as a row of what was replaced."""
    before = [f'date = "{FILL_IN}"']
    if file.bytes is not None:
        before.append(f"bytes = {file.bytes}")
    for key, value in (("sha256", file.sha256), ("revision", file.revision)):
        if value:
            before.append(f'{key} = "{value}"')
    before += [f'wrong = "{FILL_IN}"', f'grade = "{file.grade}"', f"source = {_text(file.source)}"]
    return f"{_figures(now)}# to the list replaced:\n  {{ {', '.join(before)} }},\n"


def _new(now: HubFile) -> str:
    """A file as an entry; what its name does not say has to be looked up."""
    name = now.path.rpartition("/")[2]
    label = label_in_name(name) or FILL_IN
    if kind_of(now.path) != "text":
        head = f"[files.{kind_of(now.path)}-{label.lower()}]\n"
        about = ""
    else:
        qat = "QAT" if "qat" in f"{now.repository}/{name}".lower() else "unknown"
        head = f"[[models.variants]]\nname = {_text(label.lower())}\nlabel = {_text(label)}\n"
        about = f'training = "{qat}"\ntraining_basis = "{FILL_IN}"\ncontent = "{FILL_IN}"\n'
    place = f"repository = {_text(now.repository)}\nfile = {_text(now.path)}\n"
    source = f"hf.co/{now.repository} at {now.commit}"
    return f'{head}{about}{place}{_figures(now)}grade = "A"\nsource = {_text(source)}\n'


def _of_tag(tag: PublishedTag, sha256: str, size: int) -> Finding | None:
    """None where the tag is what the catalogue says, whole or by the beginning that it knows."""
    if sha256 == tag.manifest_sha256:
        return None
    lines = f'manifest_sha256 = "{sha256}", size = "{_decimal(size)}"  # {size:,} bytes\n'
    if tag.manifest_sha256 is None and tag.digest in (None, sha256[:12]):
        return Finding(f"{tag.reference}: its whole manifest", lines)
    date = tag.as_of if len(tag.as_of) == len("2026-01-01") else FILL_IN
    before = (
        f'{{ date = "{date}", digest = "{tag.digest}", wrong = "{FILL_IN}", '
        f'grade = "{tag.grade}", source = {_text(tag.source)} }}'
    )
    known = f"# to its list replaced:\n  {before},\n" if tag.digest else ""
    return Finding(f"{tag.reference}: moved, before it was {tag.digest}", lines + known)


def _size_of(manifest: bytes) -> int:
    """All parts of a manifest together, in bytes. Raises: ValueError, TypeError, KeyError."""
    found = json.loads(manifest)
    return sum(int(part["size"]) for part in (*found["layers"], found["config"]))


def _decimal(size: int) -> str:
    """As Ollama prints sizes: two digits of decimal units, ``7.2GB``, ``19GB``, ``815MB``."""
    value, unit = (size / 1e9, "GB") if size >= 1e9 else (size / 1e6, "MB")
    return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"


def _text(value: str) -> str:
    """As a TOML text: JSON's is one."""
    return json.dumps(value)


def main(arguments: Sequence[str] | None = None, catalog: Catalog | None = None) -> int:
    """Prints each finding as it comes; the exit code is that of the module's description."""
    parser = argparse.ArgumentParser(description="Hold the catalogue against what is published.")
    parser.add_argument("--only", default="", metavar="WORD", help="repositories and tags with it")
    parser.add_argument("--no-hub", action="store_true")
    parser.add_argument("--no-tags", action="store_true")
    options = parser.parse_args(arguments)
    catalog = catalog or load_catalog()
    asked: list[bool] = []

    def show(findings: Iterable[Finding]) -> None:
        for finding in findings:
            print(finding)
            asked.append(finding.asked)

    if not options.no_hub:
        show(check_hub(catalog, HubClient(), options.only))
    if not options.no_tags:
        with RegistryClient() as client:
            show(check_tags(catalog, client, options.only))
    if not all(asked):
        return ExitCode.NETWORK
    return ExitCode.FAILED if asked else ExitCode.DONE


if __name__ == "__main__":
    sys.exit(main())
