"""What a traced function reads and writes, however deep the operation lies."""

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tuimon.trainer.keras.steps.graph_uses import UnreadableGraphError, uses_of


def used(
    step: Callable[..., Any], variables: list[Any], *arguments: Any, **options: Any
) -> tuple[list[bool], list[int]]:
    """Return which variables a step writes, and how often each is read."""
    uses = uses_of(tf.function(step, **options).get_concrete_function(*arguments))
    handles = [id(variable.handle) for variable in variables]
    return [handle in uses.writes for handle in handles], [uses.reads[handle] for handle in handles]


@pytest.mark.parametrize("options", [{}, {"jit_compile": True}])
def test_functions_loops_and_branches_are_looked_into(options: dict[str, Any]) -> None:
    called, looped, branched, read, left = (tf.Variable(1.0) for _ in range(5))
    inner = tf.function(lambda value: called.assign_add(value), **options)

    def step(number: Any) -> Any:
        inner(2.0)
        for _ in tf.range(number):
            looped.assign(looped * 2.0)
        if number > 2:
            branched.assign_sub(1.0)
        return read + read

    written, reads = used(step, [called, looped, branched, read, left], tf.constant(3))
    assert written == [True, True, True, False, False]
    assert reads[3:] == [2, 0]


def test_rows_of_a_table() -> None:
    table = tf.Variable(tf.zeros((4, 2)))

    def step() -> None:
        table.scatter_sub(tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1])))

    assert used(step, [table])[0] == [True]


def test_a_write_that_cannot_be_told_is_not_passed_over() -> None:
    variables = [tf.Variable(1.0), tf.Variable(2.0)]

    def step(number: Any) -> None:
        handle = tf.cond(number > 2, lambda: variables[0].handle, lambda: variables[1].handle)
        tf.raw_ops.AssignVariableOp(resource=handle, value=tf.constant(3.0))

    with pytest.raises(UnreadableGraphError):
        used(step, variables, tf.constant(3))
