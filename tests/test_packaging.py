"""The files for other package managers: read by their tools where those are here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from release import ReleaseError, packages, windows
from release.distributions import ROOT, distributions
from release.lowest import found_python

if TYPE_CHECKING:
    from pathlib import Path

PACKAGING = ROOT / "packaging"
VERSION = distributions()[0].version
ADDRESS, PAGE = "https://files.example.org/gemmahub", "https://gemmahub.example.org"

# What winget asks of its manifests, for the fields that ours have: microsoft/winget-cli@32413da,
# schemas/JSON/manifests/v1.9.0/manifest.{version,installer,defaultLocale}.1.9.0.json.
IDENTIFIER = r'^[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}(\.[^\.\s\\/:\*\?"<>\|\x01-\x1f]{1,32}){1,7}$'
COMMON = {
    "PackageIdentifier": {"type": "string", "pattern": IDENTIFIER, "maxLength": 128},
    "PackageVersion": {"type": "string", "pattern": r'^[^\\/:\*\?"<>\|\x01-\x1f]+$'},
    "ManifestVersion": {"const": "1.9.0"},
}
URL = {"type": "string", "pattern": r"^([Hh][Tt][Tt][Pp][Ss]?)://.+$", "maxLength": 2048}
WINGET = {
    "gemmahub.yaml": {
        "properties": {**COMMON, "ManifestType": {"const": "version"}, "DefaultLocale": {}},
        "required": ["DefaultLocale"],
    },
    "gemmahub.locale.en-US.yaml": {
        "properties": {
            **COMMON,
            "ManifestType": {"const": "defaultLocale"},
            "PackageLocale": {"const": "en-US"},
            "Publisher": {"type": "string", "minLength": 2, "maxLength": 256},
            "PackageName": {"type": "string", "minLength": 2, "maxLength": 256},
            "PackageUrl": URL,
            "License": {"type": "string", "minLength": 3, "maxLength": 512},
            "ShortDescription": {"type": "string", "minLength": 3, "maxLength": 256},
            "Moniker": {"type": "string", "minLength": 1, "maxLength": 40},
            "Tags": {
                "items": {"type": "string", "minLength": 1, "maxLength": 40},
                "maxItems": 16,
                "uniqueItems": True,
            },
        },
        "required": ["PackageLocale", "Publisher", "PackageName", "License", "ShortDescription"],
    },
    "gemmahub.installer.yaml": {
        "properties": {
            **COMMON,
            "ManifestType": {"const": "installer"},
            "MinimumOSVersion": {"type": "string", "pattern": r"^\d{1,5}(\.\d{1,5}){0,3}$"},
            "InstallerType": {"enum": ["msix", "msi", "appx", "exe", "zip", "portable"]},
            "NestedInstallerType": {"enum": ["msix", "msi", "appx", "exe", "portable"]},
            "NestedInstallerFiles": {
                "items": {
                    "required": ["RelativeFilePath"],
                    "properties": {
                        "RelativeFilePath": {"type": "string", "maxLength": 512},
                        "PortableCommandAlias": {"type": "string", "maxLength": 40},
                    },
                    "additionalProperties": False,
                }
            },
            "ArchiveBinariesDependOnPath": {"type": "boolean"},
            "Commands": {"items": {"type": "string", "maxLength": 40}, "maxItems": 16},
            "Installers": {
                "minItems": 1,
                "items": {
                    "required": ["Architecture", "InstallerUrl", "InstallerSha256"],
                    "properties": {
                        "Architecture": {"enum": ["x86", "x64", "arm", "arm64", "neutral"]},
                        "InstallerUrl": URL,
                        "InstallerSha256": {"type": "string", "pattern": "^[A-Fa-f0-9]{64}$"},
                    },
                    "additionalProperties": False,
                },
            },
        },
        "required": ["Installers"],
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each name that a build makes."""
    folder = tmp_path_factory.mktemp("dist")
    for distribution in distributions():
        for name in distribution.files:
            (folder / name).write_text(name)
    (folder / f"gemmahub-{VERSION}-windows-x64.zip").write_text("archive")
    return folder


@pytest.fixture(scope="module")
def filled(built: Path) -> Path:
    """The filled templates; the formula's resources of the index are left out."""
    folder = built / "packages"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages, "index_resources", lambda wheels, known: [])
        packages.fill(built, ADDRESS, PAGE, folder)
    return folder


def test_templates_name_no_address_of_their_own() -> None:
    """The project has none: each comes from the command line."""
    for name in packages.TEMPLATES:
        text = (PACKAGING / name).read_text(encoding="utf-8")
        lines = [x for x in text.splitlines() if "://" in x and "$schema=" not in x]
        assert lines == [], name
        assert text.startswith("# A template"), name


def test_every_word_is_filled(filled: Path) -> None:
    for name in packages.TEMPLATES:
        text = (filled / name).read_text(encoding="utf-8")
        assert not re.search(r"@[A-Z]", text), name
        assert "template" not in text
        assert VERSION in text
    with pytest.raises(ReleaseError, match="is no address"):
        packages.fill(filled, "http://plain.example.org", PAGE, filled)
    with pytest.raises(ReleaseError, match="run `python -m release build` first"):
        packages.fill(filled, ADDRESS, PAGE, filled)


@pytest.mark.parametrize("name", WINGET)
def test_winget_manifests_keep_to_the_published_schema(filled: Path, name: str) -> None:
    manifest = yaml.safe_load((filled / "winget" / name).read_text(encoding="utf-8"))
    always = ["PackageIdentifier", "PackageVersion", "ManifestType", "ManifestVersion"]
    schema = {"type": "object", **WINGET[name], "additionalProperties": False}
    schema["required"] = [*always, *WINGET[name]["required"]]
    jsonschema.validate(manifest, schema)


def test_ruby_reads_the_formula(filled: Path) -> None:
    ruby = shutil.which("ruby")
    if ruby is None:
        pytest.skip("ruby is not here")
    for path in (filled / "homebrew/gemmahub.rb", PACKAGING / "homebrew/gemmahub.rb"):
        done = subprocess.run([ruby, "-wc", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "Syntax OK\n", "")


def test_recipe_has_what_is_required(filled: Path) -> None:
    recipe = yaml.safe_load((filled / "conda/recipe.yaml").read_text(encoding="utf-8"))
    assert set(recipe) >= {"package", "source", "build", "requirements", "tests", "about"}
    assert all(len(source["sha256"]) == 64 for source in recipe["source"])
    run = " ".join(recipe["requirements"]["run"])
    for name in ("click", "huggingface_hub", "pyyaml", "starlette", "uvicorn", "llama.cpp"):
        assert f" {name} " in f" {run} ", name
    assert "gemmahub" not in run


def test_rattler_build_reads_the_recipe(filled: Path) -> None:
    rattler = pytest.importorskip("rattler_build", reason="py-rattler-build is not here")
    text = (filled / "conda/recipe.yaml").read_text(encoding="utf-8")
    read: Any = rattler.Stage0Recipe.from_yaml(text)
    assert type(read).__name__ == "SingleOutputRecipe"


DOCKERFILE = PACKAGING / "docker/Dockerfile"


def test_dockerfile_runs_as_nobody_in_particular() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER \d+$", last, re.MULTILINE)
    assert re.search(r"^VOLUME /models$", last, re.MULTILINE)
    variables = re.findall(r"(GEMMAHUB_\w+)=/models/", last)
    documented = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
    assert len(variables) == 4
    assert all(f"`{name}`" in documented for name in variables)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not here")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_healthcheck_asks_what_serve_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_model: Path
) -> None:
    """The image's own command and health check, with its folders, on this machine."""
    text = DOCKERFILE.read_text(encoding="utf-8")
    check = json.loads(re.findall(r"HEALTHCHECK .*\\\n\s+CMD (\[.+\])", text)[0])
    words = json.loads(re.findall(r"^CMD (\[.+\])", text, re.MULTILINE)[0])
    folders = re.findall(r"(\w+)=(/models\S*)", text)
    for name, value in folders:
        monkeypatch.setenv(name, value.replace("/models", str(tmp_path)))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / real_model.name).symlink_to(real_model)
    monkeypatch.setenv("GEMMAHUB_API_KEY", "a long random one")
    monkeypatch.setenv("GEMMAHUB_PLUGINS", "llamaserver")
    port = free_port()
    command = [sys.executable, "-P", "-m", "gemmahub", *words, "--port", str(port)]
    health = [part.replace("8808", str(port)) for part in check]
    assert health[0] == "python"
    assert "8808" in text[text.rindex("EXPOSE") :]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            for line in server.stderr:
                if line.startswith("ready"):
                    break
            else:
                pytest.fail("it did not start")
            done = subprocess.run([sys.executable, *health[1:]], timeout=60, check=False)
            assert done.returncode == 0
            with pytest.raises(urllib.request.HTTPError):  # the rest needs the key
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=30)
        finally:
            server.terminate()  # as `docker stop`
            assert server.wait(60) == 0
    done = subprocess.run([sys.executable, *health[1:]], stderr=subprocess.DEVNULL, check=False)
    assert done.returncode != 0


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_launcher_of_the_windows_archive_starts_the_python_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("distlib")
    launcher = windows._launcher(tmp_path)
    assert launcher.startswith(b"MZ")
    assert "<launcher_dir>".encode("utf-16-le") in launcher  # distlib's launcher knows the word
    head, _, archive = launcher.partition(b"#!<launcher_dir>\\python.exe\r\n")
    assert head == files("distlib").joinpath("t64.exe").read_bytes()
    (tmp_path / "behind.zip").write_bytes(archive)
    with zipfile.ZipFile(tmp_path / "behind.zip") as program:
        assert "gemmahub.cli.main" in program.read("__main__.py").decode()


def test_only_pythons_embeddable_package_is_taken(tmp_path: Path, built: Path) -> None:
    path = tmp_path / "python.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("python.exe", "")
    with pytest.raises(ReleaseError, match="is no embeddable package"):
        windows.make_archive(built, path, print)


def test_pythons_are_found_by_version() -> None:
    here = ".".join(map(str, sys.version_info[:2]))
    assert found_python(here)
    assert found_python(sys.executable) == sys.executable
    assert found_python("3.4") == ""
