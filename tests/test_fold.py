"""A recorded log folds to the same state as ever."""

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from helpers import ROOT, SENDER, a_run, encode_log
from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.series import Series
from tuimon.runs.state import RunState


def requests() -> list[events.AnyEvent]:
    """Return the answers to every kind of request, some of them undone, rejected or verified."""
    bodies: list[dict[str, object]] = [
        {"command": "freeze", "layers": ["bn_1"], "statistics": True},
        {"command": "freeze", "layers": ["dense*"], "weights": True},
        {"command": "unfreeze", "layers": []},
        {"command": "phase", "phase": "inference"},
        {"command": "momentum", "momentum": 0.9, "layers": ["bn_1"]},
        {"command": "recalibrate", "batches": 4, "dry_run": True},
        {"command": "recalibrate", "batches": 4},
        {"command": "lr", "learning_rate": 1e-4},
        {"command": "pause"},
        {"command": "resume"},
        {"command": "checkpoint"},
        {"command": "rollback", "checkpoint": "step-2"},
        {"command": "evaluate"},
        {"command": "probe"},
        {"command": "snapshot"},
        {"command": "note", "text": "hello"},
        {"command": "stop", "after": "epoch"},
        {"command": "something of a later version", "field": 1},
    ]
    answers: list[events.AnyEvent] = []
    for number, body in enumerate(bodies):
        applied = events.CommandApplied(
            id=f"request-{number}",
            request=body,
            sender=SENDER,
            first_step=4 + number,
            step=4 + number,
            epoch=1,
            phase="inference" if number in (3, 4) else "auto",
            frozen=["bn_1"] if number % 2 else [],
            learning_rate=1e-4 if number >= 7 else 1e-3,
        )
        answers.append(applied)
    answers.append(
        events.CommandRejected(id="rejected", request=bodies[0], sender=SENDER, reason="it is full", step=30, epoch=1)
    )
    return answers


LATER = {
    # A command's request is told by its words.
    "Command": ("request",),
    "RunEnded": ("reason",),
    "FitStarted": ("same_model", "averages_weights", "restores_best", "learning_rate"),
    "Probe": (
        *("batches", "errors", "share_errors", "unweighted", "unweighted_error"),
        *("validation_unweighted", "validation_error", "validation_examples"),
        *(
            "constant",
            "floor",
            "gain",
            "gain_error",
            "gradient_norm",
            "gradients",
            "gradient_batches",
            "why_no_gradients",
        ),
    ),
    "ProbeLayer": ("batches_divergence", "variance_ratio", "batch_statistics_in_inference"),
    "RunState": (
        "best",
        "untaken",
        "fits",
        "phases",
        "probe_planned",
        "time_split",
        "system",
        "steps_without_change",
        "weights_replaced",
        "weight_updates",
        "orders",
        "epochs_asked",
        "thinned_before",
    ),
    "RunStarted": ("console", "source"),
}
"""Fields that came after the hashes were made. These logs have none of their facts; `best` has tests of its own."""

SPELLED = {"learning rate 1e-4": "learning rate 0.0001"}
"""Words that are spelled otherwise since the hashes were made, and how they were then."""


def canonical(value: object) -> object:
    """Return JSON of a value that does not depend on how its type is called or where it lives."""
    if isinstance(value, Series):
        return {"steps": value.steps.tolist(), "rows": canonical(value.rows)}
    if isinstance(value, np.ndarray):
        return [canonical(item) for item in value.tolist()]
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, msgspec.Struct):
        later, config = LATER.get(type(value).__name__, ()), value.__struct_config__
        tag = {} if config.tag_field is None else {config.tag_field: config.tag}
        names = [
            name for name in value.__struct_fields__ if name not in later and getattr(value, name) is not msgspec.UNSET
        ]
        fields = {**tag, **{name: getattr(value, name) for name in names}}
        # The facts of the log are hashed in the order of their fields, parts of the state in that of their names.
        is_fact = type(value).__module__.startswith("tuimon.protocol")
        return canonical(fields) if is_fact else {name: canonical(item) for name, item in fields.items()}
    if isinstance(value, dict):
        return [[str(key), canonical(item)] for key, item in value.items()]
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    assert value is None or isinstance(value, bool | int | str), type(value)
    return SPELLED.get(value, value) if isinstance(value, str) else value


def digest(state: RunState) -> str:
    """Return a hash of all that a state shows."""
    names = [name for name in state.__struct_fields__ if not name.startswith("_") and name not in LATER["RunState"]]
    shown = {name: canonical(getattr(state, name)) for name in names}
    derived = ("in_force", "steps_per_second", "total_steps", "seconds_left")
    shown |= {name: canonical(getattr(state, name)) for name in derived}
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("finetune_one_sample", "5211b70293048a7b"),
        ("real_vs_fake", "a1ddc54b223c8b05"),
        ("requests", "aedb8c47c841f4e9"),
    ],
)
def test_a_log_folds_to_the_same_state(log: str, expected: str, tmp_path: Path) -> None:
    path = ROOT / "docs" / "recorded" / f"{log}.jsonl"
    if log == "requests":
        path = tmp_path / "session.jsonl"
        start, *run, end = a_run()
        elsewhere = msgspec.structs.replace(start, boot_id="of another machine")
        path.write_bytes(encode_log([elsewhere, *run, *requests(), end]))
    state, tail = RunState(), Tail(path)
    for events_read in iter(tail.read, []):
        state.apply(events_read)
    assert state.step > 0
    assert digest(state) == expected
