from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gemmahub_llamacpp.cpu import linux_cores

if TYPE_CHECKING:
    from pathlib import Path


def test_the_former_name_counts_the_cores_of_a_tree(tmp_path: Path) -> None:
    for number, group in enumerate(("0-1", "0-1", "2-3", "2-3")):
        topology = tmp_path / f"sys/devices/system/cpu/cpu{number}/topology"
        topology.mkdir(parents=True)
        (topology / "core_cpus_list").write_text(group)
    assert linux_cores(tmp_path / "proc", tmp_path / "sys", frozenset({0, 1})) == 1
    with pytest.raises(ValueError, match="different folders"):
        linux_cores(tmp_path / "proc", tmp_path / "other" / "sys", frozenset({0}))
