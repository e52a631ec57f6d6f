"""Other people's callbacks do, beside a Monitor and in whichever order, what they do alone."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tuimon
from helpers import read_log
from trainer.other_callbacks import KERAS_OWN, OTHERS, USERS_OWN, train
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory

OPTIONS: tuple[dict[str, Any], ...] = ({}, {"resume": "auto", "checkpoint_minutes": 1e-9})
"""Of Monitors: as most have it, and one that restores and saves behind all others."""
PAIRS = [*itertools.permutations(KERAS_OWN, 2), *itertools.product(USERS_OWN, KERAS_OWN)]
PAIRS += [(keras_own, users_own) for users_own, keras_own in itertools.product(USERS_OWN, KERAS_OWN)]


def every_relation(names: Sequence[str], seed: int) -> list[tuple[tuple[str, ...], int]]:
    """Return lists of all names, each with a place for the Monitor.

    Together they have every ordered pair of names with the Monitor before, between and behind the two.
    """
    generator = random.Random(seed)
    missing = {(pair, where) for pair in itertools.permutations(names, 2) for where in range(3)}
    chosen = []
    while missing:
        tried = [(tuple(generator.sample(names, len(names))), generator.randint(0, len(names))) for _ in range(30)]
        best = max(tried, key=lambda one: len(missing & relations(*one)))
        missing -= relations(*best)
        chosen.append(best)
    return chosen


def relations(names: Sequence[str], at: int) -> set[tuple[tuple[str, str], int]]:
    places = [*names[:at], "Monitor", *names[at:]]
    return {(pair, sum(places.index(name) < at for name in pair)) for pair in itertools.combinations(names, 2)}


LISTS = every_relation([name for name in KERAS_OWN if name != "TerminateOnNaN"], 1) + every_relation([*KERAS_OWN], 2)
"""Without and with the one that ends a training in its first epoch."""
OFTEN = (1,)
"""The lists that have their turn in every run of the tests."""


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [
        f"{name}: {value!r:.1500} is now {found[name]!r:.1500}"
        for name, value in expected.items()
        if found[name] != value
    ]


def wrong(place: Path, names: Sequence[str], places: Sequence[int], *, as_list: bool = False) -> list[str]:
    """Train with callbacks, and with a Monitor at each of the given places; return what differs."""
    expected = train(place / "alone", names, as_list=as_list)
    found = []
    for at in places:
        monitor = tuimon.Monitor(runs_dir=place / f"runs {at}", **OPTIONS[(at + len("".join(names))) % len(OPTIONS)])
        watched = train(place / f"{at}", names, monitor, at, as_list=as_list)
        wrong = differences(expected, watched)
        if monitor.run_dir is None or not isinstance(read_log(RunDirectory(monitor.run_dir))[-1], events.RunEnded):
            wrong.append("it is not recorded to its end")
        found += [f"{names}, Monitor at {at}: {each}" for each in wrong]
    return found


@pytest.mark.parametrize(
    "number", [pytest.param(number, marks=() if number in OFTEN else pytest.mark.full) for number in range(len(LISTS))]
)
def test_all_of_them_together_do_what_they_do_alone(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names, at = LISTS[number]
    assert wrong(tmp_path, names, [at], as_list=number % 2 == 1) == []
    assert "training goes on" not in capsys.readouterr().err


def test_a_list_of_the_users_is_as_it_was_after_a_callback_has_failed(tmp_path: Path) -> None:
    """Keras keeps a ready list as it is given, and the user may look at it, or train with it again."""
    assert wrong(tmp_path, ["Hears", "Fails"], [0], as_list=True) == []


@pytest.mark.full
@pytest.mark.parametrize("first", OTHERS)
def test_every_pair_does_what_it_does_alone(first: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for names in [pair for pair in PAIRS if pair[0] == first]:
        found += wrong(tmp_path / "-".join(names), names, (0, 1, 2))
    assert found == []
    assert "training goes on" not in capsys.readouterr().err
