"""A training with a Monitor ends as it would have without: the same weights, history, output, files and exceptions."""

import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tuimon
from helpers import read_log, selected, until
from tuimon.protocol import events
from tuimon.runs.run_directory import runs_in
from tuimon.trainer.keras import fit_watchdog
from zoo import callback_scripts, data_scripts, model_scripts, odd_scripts, several_fits
from zoo.script import SCRIPTS, Callbacks, Script

assert callback_scripts
assert data_scripts
assert model_scripts
assert odd_scripts
assert several_fits

COVERING = (
    "arrays",
    "compiled anew by a callback",
    "copies of used callbacks",
    "dictionaries of inputs and outputs",
    "endless dataset that a callback stops",
    "exception in a callback then another fit",
    "fit inside the scope of a strategy",
    "fits in two threads",
    "generator that fails",
    "gradient tape loop that is watched",
    "metric that keeps a list of its results",
    "own layer loss and metric",
    "optimizer whose learning rate cannot be read",
    "pydataset",
    "save and copy in a callback",
    "train function replaced",
)


@dataclass
class Outcome:
    """All that a user has of a training."""

    states: list[Any] = field(default_factory=list)
    """Of each model: its weights, the variables of its optimizer, its history."""
    error: tuple[str, str] | None = None
    printed: str = ""
    warned: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def state_of(model: keras.Model, *, has_run_all: bool = True) -> dict[str, Any]:
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer is not None else ())]
    if not has_run_all:
        variables = model.weights
    return {
        "weights": [(str(each.dtype), np.asarray(each).tobytes()) for each in variables],
        "history": repr(getattr(getattr(model, "history", None), "history", None)),
        "attributes": sorted(set(vars(model)) - {"history"}),
        "trainable": [layer.trainable for layer in model.layers],
    }


def same_text(text: str, place: Path) -> str:
    """Return text without what differs from run to run: times, addresses, the directory, progress on the way."""
    text = re.sub(r"\b0x[0-9a-f]+", "0x", text.replace(str(place), "."))
    text = re.sub(r"\x1b\[[0-9;]*m|\x08", "", text)
    text = re.sub(r"\b\d+(\.\d+)?(ms|us|s|min|h)(/step|/epoch)?\b", "time", text)
    text = re.sub(r"__inference_\w+_\d+|_(\d+)\b", "", text)
    shown: list[str] = []
    for line in re.split(r"[\r\n]+", text):
        progress = re.match(r"\s*(\d+)/(\d+|Unknown) ", line)
        if progress is None or progress[1] == progress[2]:
            # The last line of an epoch may have been there before, without the validation.
            if progress is not None and shown and shown[-1].startswith(progress[0]):
                shown.pop()
            shown.append(line.rstrip())
    return "\n".join(shown)


def play(script: Script, callbacks: Callbacks, place: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    place.mkdir()
    os.chdir(place)
    keras.backend.clear_session()
    keras.utils.set_random_seed(11)
    outcome = Outcome()
    capsys.readouterr()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            for model in script.play(callbacks):
                outcome.states.append(state_of(model, has_run_all=not script.data_fail))
        except Exception as error:  # noqa: BLE001 - to be compared
            text = same_text(str(error), place)
            own = [line for line in text.splitlines() if "Error: " in line] if script.data_fail else [text]
            outcome.error = (type(error).__name__, own[-1])
    printed = capsys.readouterr()
    assert "tuimon" not in printed.err, printed.err
    outcome.printed = same_text(printed.out, place)
    outcome.warned = sorted({f"{each.category.__name__}: {each.message}" for each in warned})
    files = (path.relative_to(place) for path in place.rglob("*"))
    outcome.files = sorted(re.sub(r"tfevents\.\d+.*", "tfevents", str(path)) for path in files)
    return outcome


def differences(left: Outcome, right: Outcome) -> list[str]:
    """Return in which parts two outcomes differ; for a report of a failure that can be read."""
    found = [
        f"{name}: {getattr(left, name)!r:.4000} is now {getattr(right, name)!r:.4000}"
        for name in ("error", "printed", "warned", "files")
        if getattr(left, name) != getattr(right, name)
    ]
    if len(left.states) != len(right.states):
        found.append(f"{len(left.states)} models are now {len(right.states)}")
    for number, (before, after) in enumerate(zip(left.states, right.states, strict=False)):
        for name, value in before.items():
            if value != after[name]:
                words = "" if name == "weights" else f": {value!r:.2000} is now {after[name]!r:.2000}"
                found.append(f"{name} of model {number}{words}")
    return found


def require_recorded(script: Script, runs: Path) -> None:
    """Check that every run was recorded to its end, with each step's values."""
    logs = [until(lambda run=run: ended(read_log(run)), what=f"the end of {run}") for run in runs_in(runs)]
    logs.sort(key=lambda log: log[0].time)
    assert [log[-1].step for log in logs] == [*script.steps]
    statuses = [fact.status for log in logs for fact in log if isinstance(fact, events.RunEnded)]
    assert [word for word, before in zip(statuses, [None, *statuses], strict=False) if word != before] == (
        script.status.split(", then ") if logs else []
    )
    notes = [fact.text for log in logs for fact in log if isinstance(fact, events.Note)]
    assert len(notes) == len(script.notes), notes
    for note, part in zip(notes, script.notes, strict=True):
        assert part in note
    for log in logs:
        gaps = [fact for fact in log if isinstance(fact, events.LogGap)]
        assert gaps == []


def ended(log: Iterable[events.AnyEvent]) -> list[events.AnyEvent] | None:
    facts = [*log]
    return facts if facts and isinstance(facts[-1], events.RunEnded) else None


@pytest.mark.parametrize("name", selected(SCRIPTS, *COVERING))
def test_it_ends_as_without_a_monitor(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fit_watchdog, "LOOK_SECONDS", 0.02)
    monkeypatch.chdir(tmp_path)
    script, runs = SCRIPTS[name], tmp_path / "runs"
    plain = play(script, Callbacks(), tmp_path / "plain", capsys)
    watched = play(script, Callbacks(lambda: tuimon.Monitor(runs_dir=runs)), tmp_path / "watched", capsys)
    if found := differences(plain, watched):
        again = play(script, Callbacks(), tmp_path / "again", capsys)
        assert differences(plain, again) == [], "Keras alone does not do it twice the same: the script is no test"
        pytest.fail("\n".join(found))
    require_recorded(script, runs)
