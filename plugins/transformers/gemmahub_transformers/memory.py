"""stub"""
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class TorchMemory:
    weights_bytes: int
def plan(h, c):
    return TorchMemory(0)
