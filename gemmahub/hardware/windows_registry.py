"""The display adapters in the registry of Windows.

Source: Microsoft, "Registering Hardware Information" (``HardwareInformation.qwMemorySize``, in
bytes, of each display adapter's key). ``Win32_VideoController`` of WMI has 32 bits for the size;
DXGI would have to be bound.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CLASS: Final = r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}"
_VALUES: Final = (
    "DriverDesc", "MatchingDeviceId", "DriverVersion", "HardwareInformation.qwMemorySize",
)  # fmt: skip


def display_adapters() -> Iterator[Mapping[str, Any]]:
    """What the registry has of each display adapter. Raises: OSError where it cannot be read."""
    import winreg as registry

    reg: Any = registry
    with reg.OpenKey(reg.HKEY_LOCAL_MACHINE, _CLASS) as adapters:
        for index in range(reg.QueryInfoKey(adapters)[0]):
            name = reg.EnumKey(adapters, index)
            if re.fullmatch("[0-9]{4}", name):  # others hold settings, and some are not ours to see
                with reg.OpenKey(adapters, name) as adapter:
                    yield {value: _value(reg, adapter, value) for value in _VALUES}


def _value(registry: Any, key: Any, name: str) -> Any:
    try:
        return registry.QueryValueEx(key, name)[0]
    except FileNotFoundError:
        return None
