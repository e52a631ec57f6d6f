"""Reading session.jsonl: torn lines, lines of a later version, a log that grows."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers import a_run, encode_log
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.log.session_log import Tail

LOG = encode_log(a_run())


def read(path: Path, data: bytes) -> tuple[Tail, list[events.AnyEvent]]:
    path.write_bytes(data)
    tail = Tail(path)
    return tail, tail.read_all()


def test_every_event_comes_back(tmp_path: Path) -> None:
    tail, found = read(tmp_path / "log", LOG)
    expected = a_run()
    encode_log(expected)
    assert found == expected
    assert (tail.unreadable, tail.unknown, tail.offset) == (0, 0, len(LOG))


def test_a_log_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    assert Tail(tmp_path / "log").read() == []


def test_a_torn_last_line_waits_for_its_end(tmp_path: Path) -> None:
    tail, found = read(tmp_path / "log", LOG[:-10])
    assert len(found) == len(a_run()) - 1
    assert tail.unreadable == 0
    with tail.path.open("ab") as file:
        file.write(LOG[-10:])
    assert [type(event) for event in tail.read()] == [events.RunEnded]
    assert tail.read() == []


@pytest.mark.parametrize(
    "torn", [b'{"type":"batches","seq":3,"fir\n', b"\xff\xfe\x00garbage\n", b"[]\n", b"3\n", b'"x"\n']
)
def test_a_torn_line_in_the_middle_costs_that_line_alone(tmp_path: Path, torn: bytes) -> None:
    lines = LOG.splitlines(keepends=True)
    tail, found = read(tmp_path / "log", b"".join([*lines[:3], torn, *lines[3:]]))
    assert len(found) == len(lines)
    assert tail.unreadable == 1


def test_holes_of_zeros_are_no_lines(tmp_path: Path) -> None:
    lines = LOG.splitlines(keepends=True)
    tail, found = read(tmp_path / "log", b"".join([*lines[:2], b"\0" * 4096 + b"\n", b"\n", *lines[2:]]))
    assert (len(found), tail.unreadable) == (len(lines), 0)


def test_types_and_fields_of_a_later_version_are_skipped(tmp_path: Path) -> None:
    tail, found = read(
        tmp_path / "log",
        b'{"type":"hologram","seq":0,"time":1.0,"step":0,"epoch":0,"depth":[1,2]}\n'
        b'{"type":"note","seq":1,"time":1.0,"step":0,"epoch":0,"text":"hello","colour":{"r":1}}\n',
    )
    assert found == [events.Note(seq=1, time=1.0, text="hello")]
    assert (tail.unknown, tail.unreadable) == (1, 0)


def test_a_known_type_without_its_fields_is_unreadable(tmp_path: Path) -> None:
    tail, found = read(tmp_path / "log", b'{"type":"note","seq":1}\n')
    assert (found, tail.unknown, tail.unreadable) == ([], 0, 1)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    _, found = read(
        tmp_path / "log",
        b'{"type":"batches","first_step":0,"metrics":{"loss":["nan","inf","-inf",null,1e3]},"batches":5}\n',
    )
    (batches,) = found
    assert isinstance(batches, events.Batches)
    values = [from_wire(number) for number in batches.metrics["loss"]]
    assert str(values) == "[nan, inf, -inf, nan, 1000.0]"


def test_a_line_longer_than_the_limit_is_not_cut(tmp_path: Path) -> None:
    data = encode_log([events.Note(text="x" * 1000), events.Note(text="y" * 10)])
    (tmp_path / "log").write_bytes(data)
    tail = Tail(tmp_path / "log")
    assert sum(len(tail.read(limit=100)) for _ in range(20)) == 2


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, len(LOG)), max_size=12).map(sorted), limit=st.integers(1, 3 * len(LOG)))
def test_however_the_log_grows_the_events_are_the_same(tmp_path: Path, cuts: list[int], limit: int) -> None:
    path = tmp_path / "log"
    path.unlink(missing_ok=True)
    tail = Tail(path)
    found: list[events.AnyEvent] = []
    for begin, end in zip([0, *cuts], [*cuts, len(LOG)], strict=True):
        with path.open("ab") as file:
            file.write(LOG[begin:end])
        before = -1
        while tail.offset != before:
            before = tail.offset
            found += tail.read(limit)
    assert [event.seq for event in found] == list(range(len(a_run())))
    assert tail.unreadable == 0
