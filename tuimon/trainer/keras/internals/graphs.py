"""Reads the graphs of traced functions."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf


def is_of_this_graph(tensors: Iterable[Any]) -> bool:
    """Return True if the tensors belong to the graph that is being traced, so that they can be used here."""
    # A tensor from inside a function or a branch cannot be used outside of it.
    if tf.executing_eagerly():
        return True
    graph = tf.compat.v1.get_default_graph()
    return all(getattr(tensor, "graph", graph) is graph for tensor in tensors)


def operations_here() -> int:
    """Return the number of operations in the graph that is being traced; 0 outside of a trace."""
    return 0 if tf.executing_eagerly() else len(tf.compat.v1.get_default_graph().get_operations())


def is_pure_since(since: int) -> bool:
    """Return True if all operations of the graph being traced, from the ``since``th on, only compute numbers.

    They may then be made once more, of other numbers: they change nothing, show nothing, and cannot fail when they run.
    """
    operations = tf.compat.v1.get_default_graph().get_operations()[since:]
    return all(operation.type in _PURE for operation in operations)


def result_without_writing(function: Callable[[], Any]) -> Any:
    """Call a function and return its result; Keras variables keep their values.

    Raises:
        ValueError: The function writes a Keras variable, so its result depends on more than its inputs.
    """
    with keras.StatelessScope() as scope:
        result = function()
    if scope.state_mapping:
        raise ValueError("it writes variables")
    return result


_PURE = frozenset(
    {
        "Abs",
        "Add",
        "AddN",
        "AddV2",
        "All",
        "Any",
        "BroadcastTo",
        "Cast",
        "Ceil",
        "ClipByValue",
        "Const",
        "Cos",
        "DivNoNan",
        "Equal",
        "Erf",
        "Exp",
        "ExpandDims",
        "Expm1",
        "Fill",
        "Floor",
        "Greater",
        "GreaterEqual",
        "Identity",
        "IdentityN",
        "Inv",
        "IsFinite",
        "IsInf",
        "IsNan",
        "L2Loss",
        "Less",
        "LessEqual",
        "Log",
        "Log1p",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "Max",
        "Maximum",
        "Mean",
        "Min",
        "Minimum",
        "Mul",
        "MulNoNan",
        "Neg",
        "NoOp",
        "NotEqual",
        "OnesLike",
        "Pack",
        "Pow",
        "Prod",
        "Range",
        "Rank",
        "ReadVariableOp",
        "RealDiv",
        "Reciprocal",
        "Relu",
        "Reshape",
        "Round",
        "Rsqrt",
        "Select",
        "SelectV2",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Sqrt",
        "Square",
        "SquaredDifference",
        "Squeeze",
        "StopGradient",
        "StridedSlice",
        "Sub",
        "Sum",
        "Tan",
        "Tanh",
        "Transpose",
        "VariableShape",
        "Xdivy",
        "Xlogy",
        "ZerosLike",
    }
)
"""Types of operations that compute numbers and do nothing else.

An operation of integers may divide by zero, one with indices may be out of range: both are missing here.
"""

VARIABLE_WRITES = ("Assign", "ResourceScatter", "ResourceApply", "ResourceSparseApply", "ResourceStridedSliceAssign")
"""The types of operations that write a variable begin with these words."""

_WRITERS = (
    *VARIABLE_WRITES,
    "LookupTableInsert",
    # A `tf.random.Generator` of the user draws from a variable.
    "RngReadAndSkip",
    "RngSkip",
    "StatefulStandardNormal",
    "StatefulUniform",
    "StatefulTruncatedNormal",
    "StatefulRandomBinomial",
    # A graph does not tell what Python code does.
    "PyFunc",
    "EagerPyFunc",
)


_DRAWS = ("Random", "TruncatedNormal", "Multinomial")


def used_draws(function: Any) -> set[Any]:
    """Return the operations of a traced function that draw random numbers for its result, perhaps in a called function.

    Unused draws do not count: a recurrent layer makes its dropout masks in inference mode, too, without use.
    """
    pending = [output.op for output in function.graph.outputs] + list(function.graph.control_outputs)
    used: dict[int, Any] = {}
    while pending:
        operation = pending.pop()
        if id(operation) not in used:
            used[id(operation)] = operation
            pending += [tensor.op for tensor in operation.inputs]
            pending += operation.control_inputs
    library = function.graph.as_graph_def().library.function
    drawing: set[str] = set()
    grows = True
    while grows:  # Functions call functions.
        found = {
            inner.signature.name for inner in library if any(_draws(node, node.op, drawing) for node in inner.node_def)
        }
        grows = found != drawing
        drawing = found
    return {operation for operation in used.values() if _draws(operation.node_def, operation.type, drawing)}


def draws_of(graph: Any, since: int) -> list[Any]:
    """Return the operations of a graph that draw random numbers, from the ``since``th operation on."""
    return [operation for operation in graph.get_operations()[since:] if _is_draw(operation.type)]


def _draws(node: Any, operation: str, drawing: set[str]) -> bool:
    if _is_draw(operation) or operation in drawing:
        return True
    functions = (name.name for value in node.attr.values() for name in (value.func, *value.list.func))
    return any(name in drawing for name in functions)


def _is_draw(operation: str) -> bool:
    return any(word in operation for word in _DRAWS)


def has_state_of_its_own(function: Any) -> bool:
    """Return True if a traced function, or one that it calls, changes anything that outlives the call."""
    return any(operation.startswith(_WRITERS) for operation in operation_types(function))


def operation_types(function: Any) -> set[str]:
    """Return the types of all operations of a traced function and of the functions that it calls."""
    definition = function.graph.as_graph_def()
    operations = {node.op for node in definition.node}
    operations.update(node.op for inner in definition.library.function for node in inner.node_def)
    return operations
