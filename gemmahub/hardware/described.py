"""Machines that people describe: ``2x rtx-3090``, ``rtx-3090 + rtx-3060, 64GiB ram``,
``4x h100, 2 nodes``, or the ``hosts`` of the settings.

::

    machines    = host {";" host}
    host        = gpus {"," (SIZE "ram" | NUMBER "nodes")}
    gpus        = [NUMBER "x"] (NAME | SIZE) {"+" ...}

``;`` and ``nodes`` make several machines. The engine starts on the first one; the GPUs of the
others are workers there (:data:`gemmahub.hardware.records.REMOTE`), which are reached at
``HOST:50052``, the port of llama.cpp's ``ggml-rpc-server`` (``tools/rpc/rpc-server.cpp``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gemmahub.errors import UsageError
from gemmahub.hardware.cards import CARDS, NamedGpu
from gemmahub.hardware.datasheet import published_bandwidth
from gemmahub.hardware.records import REMOTE, Device, Figure, Kind, Machine
from gemmahub.hardware.simulate import (
    PRESETS,
    gpu_machine,
    parse_size,
    preset_machine,
    simulated_gpu,
)
from gemmahub.text import nearest, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WORKER_PORT: Final = 50052
"""Where llama.cpp's workers listen unless they are told another port."""
ALL_HOSTS: Final = "hosts"
"""Stands for all machines of the settings."""

_GIB: Final = 1 << 30
_MOST_GPUS, _MOST_HOSTS = 16, 64
_LONGEST: Final = 2000
_COUNT: Final = re.compile(r"([0-9]{1,4})\s*[x×*]\s*(?=\S)|([0-9]{1,4})\s+(?=[a-z])", re.IGNORECASE)
_NODES: Final = re.compile(r"([0-9]{1,4})\s*(?:nodes?|machines?|hosts?)", re.IGNORECASE)
_RAM: Final = re.compile(r"(\S.*?)\s*(?:of\s+)?ram", re.IGNORECASE)
_HOST: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,252})(?::([0-9]{1,5}))?\s*=\s*(\S.*)")
_UNDERSTOOD: Final = (
    'write "rtx-3090", "2x rtx-3090", "rtx-3090 + rtx-3060, 64GiB ram", "2x 24GiB", "4x h100, '
    '2 nodes" or "2x rtx-3090; rtx-4090"'
)


@dataclass(frozen=True, slots=True)
class DescribedHost:
    """One machine of a description. ``preset`` is a known one that stands for itself; ``cards``
    are GPUs with their counts. ``ram`` in bytes is None where nobody said it. ``address`` is where
    workers of it are reached."""

    cards: tuple[tuple[int, NamedGpu], ...]
    ram: int | None = None
    preset: str = ""
    address: str = ""

    @property
    def title(self) -> str:
        """As people say it."""
        if self.preset:
            return preset_machine(self.preset).name or self.preset
        return " + ".join(f"{count} x {card.title}" for count, card in self.cards)

    def machine(self) -> Machine:
        """The machine alone."""
        if self.preset:
            found = preset_machine(self.preset)
            if self.ram is not None:
                found = gpu_machine(found.devices, self.ram, "", found)
            return replace(found, name=self.title)
        devices = tuple(_devices(self.cards))
        ram, doubt = self.ram, ""
        if ram is None:
            ram, doubt = _assumed_ram(self.cards)
        return replace(gpu_machine(devices, ram, doubt), name=self.title)


def described_machine(text: str, hosts: Sequence[str] = ()) -> Machine:
    """The machine, or machines, that a text describes; ``hosts`` are those of the settings, each
    ``NAME[:PORT] = DESCRIPTION``, of which the text may name one, or all by ``hosts``.

    Raises: UsageError, which says what is understood.
    """
    found = hosts_of(text, hosts)
    first, *others = found
    machine = first.machine()
    if not others:
        return machine
    workers = tuple(_workers(others))
    return replace(machine, name=_title(found), devices=(*workers, *machine.devices), problems=())


def host_names(hosts: Sequence[str]) -> tuple[str, ...]:
    """The names of the hosts of the settings; of entries that are none, nothing."""
    found = (_HOST.fullmatch(entry.strip()) for entry in hosts)
    return tuple(dict.fromkeys(match[1] for match in found if match))


def hosts_of(text: str, hosts: Sequence[str] = ()) -> tuple[DescribedHost, ...]:
    """The machines of a text, each with its address. Raises: as :func:`described_machine`."""
    if len(text) > _LONGEST:
        raise UsageError("the description of the machine is too long", _UNDERSTOOD)
    named = [_named_host(entry) for entry in hosts]
    asked = text.strip()
    if asked.casefold() == ALL_HOSTS:
        if not named:
            raise UsageError(
                "the settings have no hosts",
                "for example: gemmahub config set machines.hosts 'lab-1 = 4x h100, lab-2 = 4x h100'"
                " (or write --machine '4x h100, 2 nodes')",
            )
        return tuple(host for _, host in named)
    for name, host in named:
        if name.casefold() == asked.casefold():
            return (host,)
    parts = [part for part in asked.split(";") if part.strip()]
    found = [host for part in parts for host in _read(part, [name for name, _ in named])]
    if not found:
        raise UsageError("the description of the machine is empty", _UNDERSTOOD)
    if len(found) > _MOST_HOSTS:
        raise UsageError(f"{len(found)} machines are too many", f"use at most {_MOST_HOSTS}")
    return tuple(
        replace(host, address=f"node-{number}:{WORKER_PORT}")
        for number, host in enumerate(found, 1)
    )


def _named_host(entry: str) -> tuple[str, DescribedHost]:
    """``NAME[:PORT] = DESCRIPTION``. Raises: UsageError."""
    found = _HOST.fullmatch(entry.strip())
    if found is None:
        raise UsageError(
            f"the setting machines.hosts has no host in {one_line(entry, 80)!r}",
            'write each as NAME = MACHINE: hosts = ["lab-1 = 4x h100", "lab-2:50060 = rtx-4090"]',
        )
    port = int(found[2] or WORKER_PORT)
    several = list(_read(found[3], ()))
    if len(several) != 1 or ";" in found[3]:
        raise UsageError(
            f"the host {one_line(found[1], 60)} of the setting machines.hosts is several machines",
            "give each its own entry, so that each has a name",
        )
    return found[1], replace(several[0], address=f"{found[1]}:{port}")


def _read(text: str, names: Sequence[str]) -> Iterator[DescribedHost]:
    """The machines of one part, the same one as often as it says nodes."""
    gpus, *rest = (part.strip() for part in text.split(","))
    ram: int | None = None
    nodes = 1
    for part in rest:
        if found := _NODES.fullmatch(part):
            nodes = _counted(int(found[1]), _MOST_HOSTS, "nodes")
        elif found := _RAM.fullmatch(part):
            ram = parse_size(found[1])
        else:
            raise UsageError(
                f"{one_line(part, 60) or 'an empty part'!r} is neither memory nor nodes",
                f"write 64GiB ram, or 2 nodes; {_UNDERSTOOD}",
            )
    cards = [_gpu(part.strip(), names) for part in gpus.split("+")]
    alone = [name for _, name in cards if isinstance(name, str)]
    if alone and (len(cards) > 1 or cards[0][0] != 1):
        raise UsageError(
            f"{alone[0]} is a whole machine, which cannot be in another one",
            f'write "{alone[0]}, {cards[0][0] if cards[0][0] > 1 else 2} nodes" for several',
        )
    of_cards = tuple((count, card) for count, card in cards if isinstance(card, NamedGpu))
    _counted(sum(count for count, _ in of_cards) or 1, _MOST_GPUS, "GPUs in one machine")
    for _ in range(nodes):
        yield DescribedHost(of_cards, ram, alone[0] if alone else _pc(of_cards))


def _pc(cards: Sequence[tuple[int, NamedGpu]]) -> str:
    """The known machine that one card of its name alone stands for, if there is one."""
    known = {preset.name for preset in PRESETS}
    return cards[0][1].name if [c for c, _ in cards] == [1] and cards[0][1].name in known else ""


def _gpu(text: str, names: Sequence[str]) -> tuple[int, NamedGpu | str]:
    """A GPU with its count; of a known machine that is no card, its name."""
    found = _COUNT.match(text)
    count, rest = 1, text
    if found and not _is_size(text):
        count, rest = int(found[1] or found[2]), text[found.end() :].strip()
    if _is_size(rest):
        size = parse_size(rest)
        return count, NamedGpu("", f"GPU of {size / _GIB:g} GiB", size, "")
    name = "-".join(rest.casefold().split())
    if name in CARDS:
        return _counted(count, _MOST_GPUS, "GPUs in one machine"), CARDS[name]
    if name in {preset.name for preset in PRESETS}:
        return count, name
    known = [*CARDS, *(preset.name for preset in PRESETS if preset.name not in CARDS), *names]
    near = nearest(name, known) if name else []
    shown = ", ".join(near or sorted(known))
    what = f"no known machine or GPU {one_line(rest, 60)}" if name else "a GPU has no name"
    raise UsageError(what, f"Known: {shown}; {_UNDERSTOOD}")


def _is_size(text: str) -> bool:
    return re.fullmatch(r"[0-9.]+\s*[kmgt]i?b?", text.strip(), re.IGNORECASE) is not None


def _counted(count: int, most: int, what: str) -> int:
    if not 1 <= count <= most:
        raise UsageError(f"{count} {what} cannot be", f"from 1 to {most}; {_UNDERSTOOD}")
    return count


def _devices(cards: Sequence[tuple[int, NamedGpu]]) -> Iterator[Device]:
    """Each GPU as a device of its own, numbered by maker in the order of the description."""
    numbers: dict[str, int] = {}
    for count, card in cards:
        prefix = {"NVIDIA": "cuda", "": "gpu"}.get(card.vendor, card.vendor.casefold())
        rate = published_bandwidth(card.device, card.memory_bytes)
        unknown = Figure.unknown("a GPU of a size alone has no model", unit="B/s")
        for _ in range(count):
            number = numbers.get(prefix, 0)
            numbers[prefix] = number + 1
            yield simulated_gpu(
                f"{prefix}:{number}", card.device, card.vendor, card.memory_bytes, rate or unknown
            )


def _assumed_ram(cards: Sequence[tuple[int, NamedGpu]]) -> tuple[int, str]:
    """System memory where nobody said it: that of the PC with such a card, or for servers as much
    as the GPUs have, 64 GiB at least. A judgement."""
    known = [card.ram for _, card in cards if card.ram]
    graphics = sum(count * card.memory_bytes for count, card in cards)
    size = max([64 * _GIB, *(gib * _GIB for gib in known)])
    size = size if known else max(size, graphics)
    return size, f"assumed, as no amount was given; add ', {size // _GIB}GiB ram' to change it"


def _workers(hosts: Sequence[DescribedHost]) -> Iterator[Device]:
    """The devices of other machines, as the engine on the first one would see them."""
    number = 0
    for host in hosts:
        machine = host.machine()
        for device in machine.devices or (_of_processor(machine),):
            yield Device(
                id=f"{REMOTE}:{number}",
                name=host.address,
                vendor="",
                kind=Kind.DISCRETE,
                total=device.capacity,
                free=device.available,
                bandwidth=Figure.unknown("the network is in between", unit="B/s"),
                notes=(device.name,),
                api=REMOTE,
            )
            number += 1


def _of_processor(machine: Machine) -> Device:
    """What a worker offers that has no GPU: its system memory."""
    memory = machine.memory
    return Device("cpu:0", "processor", "", Kind.DISCRETE, memory.total, memory.available)


def _title(hosts: Sequence[DescribedHost]) -> str:
    counts: dict[str, int] = {}
    for host in hosts:
        counts[host.title] = counts.get(host.title, 0) + 1
    parts = [f"{n} machines, each {title}" if n > 1 else title for title, n in counts.items()]
    return "; ".join(parts)
