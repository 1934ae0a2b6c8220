"""A graph of one computing step, as ggml builds it: sizes and dependencies, no arithmetic.

Order and counting follow ``ggml_build_forward_expand`` (depth first, sources from left to right;
``ggml/src/ggml.c`` of ggml-org/llama.cpp@0c1e57098). Tensors that lie elsewhere, weights and
caches, are left out: they take no part in the allocation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Unit(IntEnum):
    """What the size of a tensor grows with."""

    ONE = 0
    TOKEN = 1  # tokens of the step
    ROW = 2  # rows of logits
    GLOBAL = 3  # tokens times cells of the cache of all positions
    WINDOW = 4  # tokens times cells of the window cache


class Node:
    """A tensor of ``size`` bytes a unit.

    ``inplace`` are the sources whose memory it may take over (same type and shape); a view has no
    memory of its own, ``root`` is whose it is.
    """

    __slots__ = ("inplace", "leaf", "number", "output", "root", "size", "sources", "unit")

    def __init__(
        self,
        unit: Unit,
        size: int,
        sources: tuple[Node, ...] = (),
        inplace: tuple[Node, ...] = (),
        root: Node | None = None,
    ) -> None:
        self.unit = unit
        self.size = size
        self.sources = sources
        self.inplace = inplace
        self.root = root
        self.output = False
        self.leaf = False
        self.number = -1


@dataclass(frozen=True, slots=True)
class StepSegment:
    """A part of a graph as a sequence of takings and givings of memory.

    A slot is memory that one tensor takes and others may take over. The first ``held`` slots are
    taken before the segment begins, the others in it. ``events`` has the number of a slot where it
    is taken, and its complement (``~slot``) where it is given back. ``left`` are the slots that are
    still taken at the end: the first slots of the next segment, in this order. ``units`` and
    ``sizes`` are those of all slots.
    """

    held: int
    units: tuple[Unit, ...]
    sizes: tuple[int, ...]
    events: tuple[int, ...]
    left: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A graph as the different segments it has, and the order in which they follow each other."""

    segments: tuple[StepSegment, ...]
    order: tuple[int, ...]


class Graph:
    """Collects nodes in ggml's order."""

    def __init__(self) -> None:
        self._order: list[Node] = []
        self._leafs: list[Node] = []
        self._cuts: list[int] = []
        self._count = 0

    def cut(self) -> None:
        """Begin a segment: what is expanded from here on belongs to it."""
        self._cuts.append(len(self._order))

    def expand(self, node: Node) -> None:
        """Append the node behind everything it depends on."""
        stack: list[tuple[Node, int]] = [(node, 0)]
        while stack:
            top, done = stack.pop()
            if top.number >= 0:
                continue
            if done < len(top.sources):
                stack.append((top, done + 1))
                stack.append((top.sources[done], 0))
                continue
            top.number = self._count
            self._count += 1
            (self._leafs if top.leaf else self._order).append(top)

    def schedule(self, repeats: Sequence[int] | None = None) -> Schedule:
        """Which memory is taken and given back when.

        Follows ``ggml_gallocr_alloc_graph_impl`` (``ggml/src/ggml-alloc.c``): inputs first, each
        result in place of a source where that source is not needed again, sources given back after
        their last use. None of it depends on sizes, so it is worked out once.

        ``repeats`` are the segments behind the first in the order in which they are to follow each
        other, counted from 0: once each unless it says otherwise.
        """
        uses = _Uses(self._count, self._order)
        for leaf in self._leafs:
            uses.take(leaf)
        numbers: dict[StepSegment, int] = {}
        made = []
        for begin, end in pairwise((0, *self._cuts, len(self._order))):
            for node in self._order[begin:end]:
                uses.compute(node)
            made.append(numbers.setdefault(uses.segment(), len(numbers)))
        first, *rest = made
        order = rest if repeats is None else [rest[i] for i in repeats]
        return Schedule(tuple(numbers), (first, *order))


class _Uses:
    """Who still needs what, and the takings and givings of the segment that is being made."""

    def __init__(self, count: int, nodes: Sequence[Node]) -> None:
        self._children, self._views = [0] * count, [0] * count
        for node in nodes:
            if node.root is not None:
                self._views[node.root.number] += 1
            for source in node.sources:
                self._children[source.number] += 1
        # By number of the node that has it: the slot, which is a number within the segment.
        self._slots: dict[int, int] = {}
        self._begin([])

    def _begin(self, held: list[tuple[Unit, int]]) -> None:
        self._held = len(held)
        self._kinds = held
        self._events: list[int] = []

    def segment(self) -> StepSegment:
        """What has happened since the last one; the next begins."""
        left = tuple(sorted(self._slots.values()))
        units, sizes = zip(*self._kinds, strict=True) if self._kinds else ((), ())
        done = StepSegment(self._held, units, sizes, tuple(self._events), left)
        place = {slot: number for number, slot in enumerate(left)}
        self._slots = {node: place[slot] for node, slot in self._slots.items()}
        self._begin([self._kinds[slot] for slot in left])
        return done

    def take(self, node: Node) -> None:
        self._slots[node.number] = len(self._kinds)
        self._events.append(len(self._kinds))
        self._kinds.append((node.unit, node.size))

    def compute(self, node: Node) -> None:
        """Memory for a result; what it was the last to need is given back."""
        if node.root is None and node.size and not self._takes_over(node):
            self.take(node)
        children, views = self._children, self._views
        for source in node.sources:
            children[source.number] -= 1
            owner = source
            if children[owner.number] == 0 and views[owner.number] == 0 and owner.root:
                owner = owner.root
                views[owner.number] -= 1
            unused = children[owner.number] == 0 and views[owner.number] == 0
            if unused and not owner.output and owner.number in self._slots:
                self._events.append(~self._slots.pop(owner.number))

    def _takes_over(self, node: Node) -> bool:
        for source in node.inplace:
            number = source.number
            # A view is never taken over: it has no memory that is its own.
            free = self._children[number] == 1 and self._views[number] == 0 and not source.output
            if free and number in self._slots:
                self._slots[node.number] = self._slots.pop(number)
                return True
        return False


# --- operations -----------------------------------------------------------------------------------


def given(unit: Unit, size: int) -> Node:
    """An input of the step."""
    node = Node(unit, size)
    node.leaf = True
    return node


def tensor(unit: Unit, size: int, *sources: Node) -> Node:
    """An operation whose result needs memory of its own."""
    return Node(unit, size, sources)


def view(source: Node, size: int | None = None) -> Node:
    """Another shape of the same memory (view, reshape, permute), or ``size`` bytes of it."""
    return Node(source.unit, size or source.size, (source,), root=source.root or source)


def reuse(source: Node, *others: Node) -> Node:
    """An operation that may write over its first source; ``others`` have other shapes."""
    return Node(source.unit, source.size, (source, *others), (source,))


def combine(left: Node, right: Node) -> Node:
    """Sum or product of two tensors of one shape; it may write over either."""
    return Node(left.unit, left.size, (left, right), (left, right))


def norm(source: Node) -> Node:
    """RMS norm and its weights."""
    return reuse(reuse(source))


def store(source: Node, indexes: Node) -> Node:
    """Rows written to the cache: a view of memory that lies elsewhere."""
    return Node(Unit.ONE, 0, (source, indexes))


def placed(root: Node, source: Node, indexes: Node) -> Node:
    """Rows written into another tensor of the step (``ggml_set_rows``): a view of that."""
    return Node(root.unit, root.size, (source, indexes, root), root=root)
