"""How layers are looked at: what moved, what they are called, what may be asked."""

from helpers import fold, layer, model_built, statistics
from tuimon.diagnosis.layers import Movement, movement, named, request, starts_fresh
from tuimon.protocol import events
from tuimon.runs.state import RunState


def state_with(*samples: tuple[int, float, str] | events.AnyEvent) -> RunState:
    state = fold([model_built(layer("a/bn 1"), layer("a/bn_2"))])
    for sample in samples:
        if isinstance(sample, tuple):
            step, mean, mode = sample
            sample = events.BatchNorm(layers={"a/bn 1": statistics(mean, mode=mode)}, step=step)
        state.apply([sample])
    return state


def moved(*samples: tuple[int, float, str] | events.AnyEvent, since: int = 0) -> Movement:
    return movement(state_with(*samples).layers["a/bn 1"], since=since)


def test_only_intervals_with_steps_in_the_same_mode_count() -> None:
    seen = moved(
        (0, 0.0, "training"), (9, 1.0, "frozen"), (20, 1.0, "frozen"), (20, 1.0, "frozen"), (40, 2.0, "frozen")
    )
    assert (seen.first_step, seen.steps, seen.intervals, seen.moved) == (9, 31, 2, 1)


def test_what_something_else_has_changed_is_no_movement() -> None:
    recalibrated = events.Recalibrated(batches=1, examples=1, dry_run=False, step=10)
    assert moved((0, 0.0, "frozen"), (10, 0.0, "frozen"), recalibrated, (20, 5.0, "frozen")).moved == 0
    dry = events.Recalibrated(batches=1, examples=1, dry_run=True, step=10)
    assert moved((0, 0.0, "frozen"), (10, 0.0, "frozen"), dry, (20, 5.0, "frozen")).moved == 1
    back = events.RolledBack(checkpoint="c", to_step=0, to_epoch=0, step=10)
    assert moved((0, 0.0, "frozen"), (10, 0.0, "frozen"), back, (20, 5.0, "frozen")).moved == 0


def test_what_came_to_rest_long_ago_was_not_held() -> None:
    assert not moved((0, 0.0, "training"), *((step, 1.0, "training") for step in range(1, 200))).is_held
    assert moved(*((step, 1.0, "training") for step in range(200))).is_held


def test_samples_before_a_step_are_left_out() -> None:
    assert moved((0, 0.0, "training"), (10, 1.0, "training"), (20, 1.0, "training"), since=10).is_held


def test_a_change_of_trainable_is_known_with_its_step() -> None:
    state = state_with((0, 0.0, "training"))
    assert state.model is not None
    again = model_built(layer("a/bn 1", trainable=False), layer("a/bn_2"), step=7)
    state.apply([again])
    assert [history.trainable_changed for history in state.layers.values()] == [7, None]


def test_names_are_quoted_where_a_shell_would_break_them() -> None:
    state = state_with()
    assert request(state, "freeze", layers=["a/bn 1"]) == "freeze --layer 'a/bn 1'"
    assert request(state, "freeze", layers=["a/bn 1", "a/bn_2"]) == "freeze"
    assert request(state, "momentum", "0.9") == "momentum 0.9"
    assert named([]) == "no layer"


def test_what_is_not_initial_is_not_fresh() -> None:
    assert not starts_fresh(state_with().layers["a/bn 1"])
    assert not starts_fresh(state_with((0, 0.0, "training")).layers["a/bn 1"])
