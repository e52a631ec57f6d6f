"""The faults of `make faults`, each a few times; and the page that is made of what came of them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from faults import page
from faults import run as runner
from faults.catalog import FAMILIES, FAULTS, groups
from faults.place import Place, processes_of
from faults.results import Fault, Row, Skipped, Tried
from helpers import until

BY_NAME = {fault.name: fault for fault in FAULTS}
SHORT = {
    "killed-plain": 2,
    "disk-full": 1,
    "many-requests": 100,
    "damaged-cut": 64,
    "damaged-reopened": 64,
    "damaged-flipped": 64,
    "damaged-strange": 14,
    "suspended": 2,
    "clock-set-back": 1,
    "container": 1,
}
"""How often each fault is made here. `make faults` alone makes those that take a minute: those with Keras, sshd or many
viewers."""


@pytest.mark.parametrize("name", list(SHORT))
def test_nothing_is_lost_untold_and_training_is_not_disturbed(name: str, tmp_path: Path) -> None:
    fault = BY_NAME[name]
    try:
        row = fault.made(tmp_path / "place", SHORT[name])
    except Skipped as reason:
        pytest.skip(str(reason))
    assert row.tried >= SHORT[name]
    assert not row.is_red, page.line(row)


def test_faults_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(FAULTS) == sum(map(len, FAMILIES.values()))


def row_of(*tries: Tried) -> Row:
    row = Row(name="x", title="something happens")
    for tried in tries:
        row.add(tried)
    return row


def test_what_is_not_as_it_has_to_be_is_red() -> None:
    assert not row_of(Tried(said=1.0), Tried(lost=3, told=3, note="so")).is_red
    assert row_of(Tried(lost=3, told=2)).is_red
    assert row_of(Tried(disturbed="other weights")).is_red
    assert row_of(Tried(wrong="a traceback")).is_red


def test_the_page_says_all_and_nothing_of_this_machine() -> None:
    row = row_of(Tried(said=1.0), Tried(said=3.0, lost=1200, told=1000, disturbed="no /home/somebody/x | step"))
    skipped = Row(name="y", title="cannot be made", skipped="no sshd")
    text = page.text({"A family": [row, skipped]}, 12.0)
    assert "| something happens | 2 | 1,200, 1,000 of them told | 1 | 2.0 (3.0) |" in text
    assert "✗ no … \\| step; ✗ 200 lost facts are not told" in text
    assert "| cannot be made | 0 | – | – | – | not tried: no sshd |" in text
    assert "**1 are not as they have to be**" in text


def test_rows_are_grouped_by_family() -> None:
    rows = [fault.row() for fault in reversed(FAULTS)]
    assert [row.name for group in groups(rows).values() for row in group] == [fault.name for fault in FAULTS]


def fails(place: Place, times: int) -> Iterator[Tried]:
    place.start(["sleep", "1000"])
    yield Tried(note="the first")
    raise ValueError("of the test")


def test_what_a_fault_found_counts_though_it_fails_and_its_processes_end(tmp_path: Path) -> None:
    fault = Fault("fails", "one that fails", fails, times=1, seconds=10)
    into = tmp_path / "row.json"
    runner.make_here(fault, tmp_path / "place", into, None)
    row = msgspec.json.decode(into.read_bytes(), type=Row)
    assert (row.tried, row.notes) == (1, ["the first"])
    assert row.wrong == ["the fault could not be made to the end: of the test"]
    until(lambda: not processes_of(tmp_path / "place"))
