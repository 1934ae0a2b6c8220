"""The hooks of gemmahub. Each returns records; none needs its arguments imported.

A plugin names its module under the entry-point group ``gemmahub`` and marks functions with
``gemmahub.hookimpl``. Keep the module light: import the engine inside the backend's methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from gemmahub.engines.contract import Backend, CheckResult, Setting, Store
    from gemmahub.engines.sources import Source
    from gemmahub.formats.reader import FormatReader
    from gemmahub.hardware.device_probe import DeviceProbe
    from gemmahub.hardware.records import Machine

PROJECT = "gemmahub"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def gemmahub_backends() -> Iterable[Backend]:  # type: ignore[empty-body]
    """Engines that run models. Import an engine in the backend's methods, not here.

    ::

        @hookimpl
        def gemmahub_backends():
            from gemmahub_demo.backend import DemoBackend

            return [DemoBackend()]
    """


@hookspec
def gemmahub_stores() -> Iterable[Store]:  # type: ignore[empty-body]
    """Places on this machine where models lie; asked on every listing, so they read no files.

    ::

        @hookimpl
        def gemmahub_stores():
            from gemmahub_demo.store import DemoStore  # name, inventory() -> Inventory

            return [DemoStore()]
    """


@hookspec
def gemmahub_sources() -> Iterable[Source]:  # type: ignore[empty-body]
    """Places that models are pulled from, by the scheme of a reference; asked when one is named.

    ::

        @hookimpl
        def gemmahub_sources():
            from gemmahub_demo.source import DemoSource  # gemmahub.engines.sources.Source

            return [DemoSource()]
    """


@hookspec
def gemmahub_formats() -> Iterable[FormatReader]:  # type: ignore[empty-body]
    """Readers of further file formats, so that the precision of such a file is measured.

    ::

        @hookimpl
        def gemmahub_formats():
            from gemmahub_demo.reader import DemoReader  # gemmahub.formats.reader.FormatReader

            return [DemoReader()]
    """


@hookspec
def gemmahub_devices() -> Iterable[DeviceProbe]:  # type: ignore[empty-body]
    """Probes of further accelerators, asked whenever the machine is looked at.

    ::

        @hookimpl
        def gemmahub_devices():
            from gemmahub_demo.probe import DemoProbe  # gemmahub.hardware.device_probe.DeviceProbe

            return [DemoProbe()]
    """


@hookspec
def gemmahub_checks(machine: Machine) -> Iterable[CheckResult]:  # type: ignore[empty-body]
    """Checks for ``gemmahub doctor`` on the machine that was probed; it may take no argument.

    ::

        @hookimpl
        def gemmahub_checks():
            from gemmahub.engines.contract import CheckResult

            return [CheckResult("demo server", "warning", "it is not running", "demo serve")]
    """


@hookspec
def gemmahub_settings() -> Iterable[Setting]:  # type: ignore[empty-body]
    """Settings of the plugin: they are checked, documented by ``gemmahub config``, and read with
    :func:`gemmahub.engines.plugin_settings.settings_of`.

    ::

        SETTINGS = (Setting("address", "where the server listens", default="127.0.0.1:8080"),)

        @hookimpl
        def gemmahub_settings():
            return SETTINGS  # gemmahub.engines.contract.Setting
    """


@hookspec
def gemmahub_commands(cli: click.Group, library: Any) -> None:
    """Add commands to the command line, a click group; ``library`` is what ``gemmahub.open()``
    gives. A name that gemmahub or another plugin has is refused.

    ::

        @hookimpl
        def gemmahub_commands(cli, library):
            import click

            @cli.command(name="demo")
            def demo():
                \"""Count the models.\"""
                click.echo(f"{len(library.models().variants)} models")
    """
