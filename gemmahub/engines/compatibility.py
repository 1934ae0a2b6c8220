"""Whether a plugin was made for this gemmahub, and what to do when it was not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from gemmahub import __version__
from gemmahub.engines.contract import CONTRACT_OLDEST, CONTRACT_VERSION
from gemmahub.python_environment import install_command, update_command
from gemmahub.text import one_line


class OtherContract(LookupError):
    """A plugin for a gemmahub that is newer or much older than this one."""


def check_contract(plugin: object) -> None:
    """A plugin that does not say which contract it was made for was made for the first one.

    Raises: OtherContract; TypeError when it says nonsense.
    """
    needed = getattr(plugin, "GEMMAHUB_CONTRACT", 1)
    if type(needed) is not int:
        raise TypeError(f"GEMMAHUB_CONTRACT is a whole number, not {needed!r}")
    if needed > CONTRACT_VERSION:
        raise OtherContract(
            f"it needs plugin contract {needed}, gemmahub {__version__} has {CONTRACT_VERSION}: "
            "update gemmahub"
        )
    if needed < CONTRACT_OLDEST:
        raise OtherContract(
            f"it was made for plugin contract {needed}, and gemmahub {__version__} supports "
            f"{CONTRACT_OLDEST} to {CONTRACT_VERSION}: update the plugin"
        )


def load_hint(error: BaseException, distribution: str) -> str:
    """What to do about a plugin that cannot be loaded.

    One that imports what this gemmahub does not have fails before its contract can be looked at;
    then, too, it is gemmahub that has to be updated, to what the distribution requires.
    """
    own = isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "gemmahub"
    if own or (isinstance(error, OtherContract) and "update gemmahub" in str(error)):
        if wanted := _required_gemmahub(distribution):
            return f"{update_command(wanted)}, or an older {distribution}"
        return (
            f"{install_command(_older(distribution))}; it does not state which gemmahub it needs: "
            "ask its authors"
        )
    return str(getattr(error, "hint", "")) or update_hint(distribution)


def _required_gemmahub(distribution: str) -> str:
    """The gemmahub that a distribution requires (``gemmahub>=0.3``), if this is not one already."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        try:
            found = Requirement(line)
        except InvalidRequirement:
            continue
        if found.name == "gemmahub" and not found.specifier.contains(__version__, True):
            return one_line(f"gemmahub{found.specifier}")
    return ""


def _older(distribution: str) -> str:
    """What asks pip for an older version of a distribution than the one that is here."""
    try:
        return f"{distribution}<{one_line(version(distribution), 40)}"
    except PackageNotFoundError:
        return distribution


def update_hint(distribution: str) -> str:
    """What to do about a plugin that is broken."""
    return f"{update_command(distribution)}, or report it to its authors"
