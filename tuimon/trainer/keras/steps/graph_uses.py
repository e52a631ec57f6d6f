"""Tells how a traced TensorFlow function, with the functions that it calls, uses the resources that it captures."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from tuimon.trainer.keras.internals.graphs import VARIABLE_WRITES

_FIRST_ARGUMENT = {"If": 1, "StatelessIf": 1, "Case": 1, "StatelessCase": 1}
"""Number of first inputs that are not passed on to the branches."""
_CALLS = {*_FIRST_ARGUMENT, "While", "StatelessWhile", "PartitionedCall", "StatefulPartitionedCall"}


class UnreadableGraphError(Exception):
    """The graph has a write whose target cannot be found."""


class Uses(Struct):
    """The uses of resources, each by ``id`` of its captured handle."""

    writes: set[int] = field(default_factory=set)
    """Resources that are written."""
    reads: Counter[int] = field(default_factory=Counter)
    """Operations that read each variable as a whole."""

    def add(self, other: "Uses") -> None:
        """Add the uses of a called function."""
        self.writes |= other.writes
        self.reads.update(other.reads)


def uses_of(function: Any) -> Uses:
    """Return how a concrete function uses the resources that it captures.

    Raises:
        UnreadableGraphError: The captured resource of a write cannot be found.
    """
    definition = function.graph.as_graph_def()
    library = {inner.signature.name: inner for inner in definition.library.function}
    captured = {inner.op.name: id(outer) for outer, inner in function.graph.captures}
    return _Reader(library).uses(definition.node, captured)


class _Reader:
    def __init__(self, library: Mapping[str, Any]) -> None:
        self._library = library
        self._known: dict[tuple[str, frozenset[tuple[str, int]]], Uses] = {}

    def uses(self, nodes: Iterable[Any], resources: Mapping[str, int]) -> Uses:
        """Return the uses by the nodes of one graph; ``resources`` maps its names to ids of resources."""
        by_name = {node.name: node for node in nodes}

        def resource(name: str) -> int | None:
            name = name.partition(":")[0]
            while name not in resources and name in by_name and by_name[name].op == "Identity":
                name = by_name[name].input[0].partition(":")[0]
            return resources.get(name)

        found = Uses()
        for node in by_name.values():
            inputs = [resource(name) for name in node.input if not name.startswith("^")]
            if node.op.startswith(VARIABLE_WRITES):
                if inputs[0] is None:
                    raise UnreadableGraphError(f"{node.op} writes to {node.input[0]}")
                found.writes.add(inputs[0])
            elif node.op == "ReadVariableOp" and inputs[0] is not None:
                found.reads[inputs[0]] += 1
            for name in self._called(node):
                arguments = inputs[_FIRST_ARGUMENT.get(node.op, 0) :] if node.op in (name, *_CALLS) else []
                found.add(self._uses_of(name, arguments))
        return found

    def _called(self, node: Any) -> Iterator[str]:
        if node.op in self._library:
            yield node.op
        for value in node.attr.values():
            for function in (value.func, *value.list.func):
                if function.name in self._library:
                    yield function.name

    def _uses_of(self, name: str, arguments: list[int | None]) -> Uses:
        function = self._library[name]
        pairs = zip(function.signature.input_arg, arguments, strict=False)
        resources = {argument.name: resource for argument, resource in pairs if resource is not None}
        key = (name, frozenset(resources.items()))
        if key not in self._known:
            self._known[key] = self.uses(function.node_def, resources)
        return self._known[key]
