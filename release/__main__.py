"""``python -m release``: the steps of a release, each a command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from release import (
    ReleaseError,
    building,
    checking,
    distributions,
    lowest,
    packages,
    trying,
    windows,
)

_OUT = click.option(
    "--out", type=click.Path(path_type=Path), default=Path("dist"), show_default=True,
    help="Folder of the built files.",
)  # fmt: skip


def say(text: str) -> None:
    """A line of progress, shown at once."""
    print(text, flush=True)


@click.group()
def main() -> None:
    """Build, check and try the distributions of this checkout."""


@main.command()
@click.argument("new", metavar="[VERSION]", required=False)
def version(new: str | None) -> None:
    """Print the version, or give this one to every distribution."""
    if new is not None:
        for path in distributions.set_version(new):
            say(str(path.relative_to(distributions.ROOT)))
    if wrong := distributions.disagreements():
        raise ReleaseError("\n".join(wrong))
    say(distributions.distributions()[0].version)


@main.command()
@_OUT
@click.option("--changes", is_flag=True, help="Also where files differ from the last commit.")
def build(out: Path, changes: bool) -> None:
    """Build sdists and wheels, twice, and compare them."""
    building.build(out, say, changes=changes)


@main.command()
@_OUT
def check(out: Path) -> None:
    """Check contents and metadata, with twine and check-wheel-contents."""
    checking.check(out, say)


@main.command(name="try")
@_OUT
@click.option("--by", "ways", multiple=True, type=click.Choice(list(trying.WAYS)))
def try_(out: Path, ways: tuple[str, ...]) -> None:
    """Install the built wheels by pip, uv and pipx, and ask a model."""
    for way in ways or trying.WAYS:
        trying.try_out(out, way, say)


@main.command(name="lowest")
@click.option(
    "--python", "pythons", multiple=True, help="Newest versions with this Python instead."
)
@click.argument("tests", nargs=-1)
def lowest_(pythons: tuple[str, ...], tests: tuple[str, ...]) -> None:
    """Test with the lowest versions of what is required, or with other Pythons."""
    if not pythons:
        lowest.run_tests(say, tests=tests)
    for wanted in pythons:
        if python := lowest.found_python(wanted):
            lowest.run_tests(say, python=python, tests=tests)
        else:
            say(f"Python {wanted} is not here: nothing was tested with it")


@main.command(name="packages")
@_OUT
@click.option("--address", required=True, help="Where the sdists can be fetched, up to the name.")
@click.option("--homepage", required=True, help="The page of the project.")
@click.option("--to", type=click.Path(path_type=Path), default=Path("dist/packages"))
def packages_(out: Path, address: str, homepage: str, to: Path) -> None:
    """Fill the templates of packaging/ for Homebrew, conda and winget."""
    for path in packages.fill(out, address, homepage, to):
        say(str(path))


@main.command(name="windows")
@_OUT
@click.option("--python-zip", type=click.Path(path_type=Path, exists=True), required=True)
def windows_(out: Path, python_zip: Path) -> None:
    """Make the archive for Windows, with Python's embeddable package."""
    windows.make_archive(out, python_zip, say)


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(f"release: {error}")
