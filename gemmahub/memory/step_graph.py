"""A graph of one computing step, as ggml builds it: sizes and dependencies, no arithmetic.

Order and counting follow ``ggml_build_forward_expand`` (depth first, sources from left to right;
``ggml/src/ggml.c`` of ggml-org/llama.cpp@0c1e57098). Tensors that lie elsewhere, weights and
caches, are left out: they take no part in the allocation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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
class Schedule:
    """A graph as a sequence of takings and givings of memory.

    A slot is memory that one tensor takes and others may take over. ``events`` has the number of a
    slot where it is taken, and its complement (``~slot``) where it is given back. ``units`` and
    ``sizes`` are those of the slots.
    """

    units: tuple[Unit, ...]
    sizes: tuple[int, ...]
    events: tuple[int, ...]


class Graph:
    """Collects nodes in ggml's order."""

    def __init__(self) -> None:
        self._order: list[Node] = []
        self._leafs: list[Node] = []
        self._count = 0

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

    def schedule(self) -> Schedule:
        """Which memory is taken and given back when.

        Follows ``ggml_gallocr_alloc_graph_impl`` (``ggml/src/ggml-alloc.c``): inputs first, each
        result in place of a source where that source is not needed again, sources given back after
        their last use. None of it depends on sizes, so it is worked out once.
        """
        children, views = [0] * self._count, [0] * self._count
        for node in self._order:
            if node.root is not None:
                views[node.root.number] += 1
            for source in node.sources:
                children[source.number] += 1
        units: list[Unit] = []
        sizes: list[int] = []
        events: list[int] = []
        slots: dict[int, int] = {}

        def take(node: Node) -> None:
            slots[node.number] = len(units)
            events.append(len(units))
            units.append(node.unit)
            sizes.append(node.size)

        def takes_over(node: Node) -> bool:
            for source in node.inplace:
                number = source.number
                # A view is never taken over: it has no memory that is its own.
                free = children[number] == 1 and views[number] == 0 and not source.output
                if free and number in slots:
                    slots[node.number] = slots.pop(number)
                    return True
            return False

        for leaf in self._leafs:
            take(leaf)
        for node in self._order:
            if node.root is None and node.size and not takes_over(node):
                take(node)
            for source in node.sources:
                children[source.number] -= 1
                owner = source
                if children[owner.number] == 0 and views[owner.number] == 0 and owner.root:
                    owner = owner.root
                    views[owner.number] -= 1
                unused = children[owner.number] == 0 and views[owner.number] == 0
                if unused and not owner.output and owner.number in slots:
                    events.append(~slots.pop(owner.number))
        return Schedule(tuple(units), tuple(sizes), tuple(events))


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
