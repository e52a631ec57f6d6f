"""What lies in the commands directory is not trusted."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import until
from tuimon.protocol import commands
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.requests import inbox as inbox_module
from tuimon.trainer.requests.inbox import Inbox

NAME = "00000000000000000001-1-0.json"


def valid() -> bytes:
    return commands.encode(commands.signed(commands.Freeze(layers=["bn_*"]), attempt=0))


def put(run: RunDirectory, make: Callable[[Path], object], name: str = NAME) -> None:
    """Put something where the trainer looks, whole at once."""
    made = run.path / "made"
    make(made)
    made.rename(run.commands / name)


def link(path: Path) -> None:
    (path.parent.parent / "secret").write_bytes(valid())
    path.symlink_to(path.parent.parent / "secret")


def second_link(path: Path) -> None:
    (path.parent.parent / "file").write_bytes(valid())
    path.hardlink_to(path.parent.parent / "file")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link": (link, "it is a link"),
    "a second link": (second_link, "several links"),
    "a pipe": (lambda path: os.mkfifo(path), "not a regular file"),
    "a directory": (lambda path: path.mkdir(), "not a regular file"),
    "too large": (lambda path: path.write_bytes(b" " * 70_000 + valid()), "larger than"),
    "empty": (lambda path: path.write_bytes(b""), "not a valid request"),
    "no JSON": (lambda path: path.write_bytes(b"freeze"), "not a valid request"),
    "not UTF-8": (lambda path: path.write_bytes(b'{"command": "\xff"}'), "not a valid request"),
    "deep": (lambda path: path.write_bytes(b"[" * 60_000), "not a valid request"),
    "unknown": (lambda path: path.write_bytes(b'{"command": "explode", "id": "x"}'), "explode"),
    "a field too many": (
        lambda path: path.write_bytes(valid()[:-1] + b',"more":1}'),
        "object contains unknown field more",
    ),
    "a wrong type": (
        lambda path: path.write_bytes(b'{"command":"freeze","layers":"all","id":"x"}'),
        "layers: expected array, got str",
    ),
    "out of range": (lambda path: path.write_bytes(b'{"command":"phase","phase":"test","id":"x"}'), "test"),
    "another protocol": (lambda path: path.write_bytes(b'{"command":"freeze","protocol":9,"id":"x"}'), "protocol 9"),
    "no id": (lambda path: path.write_bytes(b'{"command":"freeze"}'), "no id"),
}


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.at(tmp_path / "run")


@pytest.fixture
def inbox(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.005)
    errors: list[Exception] = []
    inbox = Inbox(run.commands, errors.append)
    yield inbox
    inbox.close()
    assert errors == []


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
def test_what_is_no_request_is_named_and_stops_nothing(
    run: RunDirectory, inbox: Inbox, make: Callable[[Path], object], words: str
) -> None:
    put(run, make)
    received = until(lambda: inbox.received and inbox.received.popleft())
    assert received.request is None
    assert words in received.reason
    assert received.id == NAME.removesuffix(".json")
    run.put_request(commands.signed(commands.Unfreeze(), 0))
    assert isinstance(until(lambda: inbox.received and inbox.received.popleft()).request, commands.Unfreeze)


def test_requests_keep_their_order_and_are_read_once(run: RunDirectory, inbox: Inbox) -> None:
    sent = [commands.signed(commands.Note(text=str(number)), 0) for number in range(50)]
    for request in sent:
        run.put_request(request)
    until(lambda: len(inbox.received) >= 50)
    inbox.close()
    assert [received.id for received in inbox.received] == [request.id for request in sent]
    first = inbox.received[0]
    assert first.sender.uid == os.getuid()
    assert first.sender.pid == os.getpid()
    assert first.fields == {"command": "note", "text": "0"}


def test_half_written_requests_are_not_seen(run: RunDirectory, inbox: Inbox) -> None:
    (run.commands / f".{NAME}").write_bytes(valid()[:10])
    request = commands.signed(commands.Freeze(), 0)
    run.put_request(request)
    until(lambda: inbox.received)
    inbox.close()
    assert [received.id for received in inbox.received] == [request.id]


def test_either_the_trainer_takes_a_request_or_its_sender_withdraws_it(run: RunDirectory, inbox: Inbox) -> None:
    taken, withdrawn = (run.put_request(commands.signed(commands.Freeze(), 0)) for _ in range(2))
    until(lambda: len(inbox.received) == 2)
    withdrawn.unlink()
    assert [received.claim() for received in inbox.received] == [True, False]
    with pytest.raises(FileNotFoundError):
        taken.unlink()
    inbox.received[0].delete()
    assert list(run.commands.iterdir()) == []


def test_it_looks_more_rarely_when_nobody_asks(
    run: RunDirectory, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    wait = inbox._stop.wait
    monkeypatch.setattr(inbox_module, "IDLE_AFTER_LOOKS", 3)
    monkeypatch.setattr(inbox_module, "IDLE_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(inbox._stop, "wait", lambda seconds: (waits.append(seconds), wait(seconds))[1])
    until(lambda: 0.01 in waits)
    run.put_request(commands.signed(commands.Freeze(), 0))
    until(lambda: waits[-1] == 0.005)
