"""Whatever lies in ``commands/`` or becomes of that directory: it is said, nothing blocks, training goes on."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import msgspec
import pytest

from helpers import until
from trainer.asking import AskedFit, put_bytes
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.requests import folder as folder_module
from tuimon.trainer.requests import inbox as inbox_module
from tuimon.trainer.requests.folder import Folder
from tuimon.trainer.requests.inbox import Inbox

NOTE = b'{"command":"note","text":"a","id":"x",'


@pytest.fixture
def run(runs: Path) -> RunDirectory:
    return RunDirectory.at(runs / "run")


@pytest.fixture
def fit(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[AskedFit]:
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.005)
    made = AskedFit(run)
    yield made
    made.end()
    assert made.errors == []
    # Every line of the log is one that readers understand.
    for line in run.session_log.read_bytes().splitlines():
        json.loads(line)


def still_takes_requests(fit: AskedFit) -> bool:
    request = commands.signed(commands.Note(text="still here"), attempt=0)
    fit.run.put_request(request)
    answer = fit.step_until(lambda: next((each for each in fit.answers() if each.id == request.id), None))
    return isinstance(answer, events.CommandApplied)


def wrong_values(kind: Any) -> Iterator[bytes]:
    """Yield JSON that a field of this type does not take."""
    plain = {str: b'"\\ud800"', bool: b'"yes"', int: b'"1"', float: b'"1"', list: b'{"a": 1}'}
    origin = get_origin(kind)
    if hasattr(kind, "__metadata__"):
        yield from wrong_values(kind.__origin__)
        return
    if origin in (types.UnionType, Union):
        yield from (value for each in get_args(kind) for value in wrong_values(each) if each is not type(None))
        return
    yield from (b"[[1]]", b'{"a":{}}', b"NaN", b"1e999", b"-1" + b"0" * 400, b"1" + b"0" * 5000)
    yield plain.get(origin or kind, b"7")


def wrong_requests() -> Iterator[bytes]:
    """Yield a request for each field of each request and each value that it does not take."""
    for kind in commands.AnyRequest.__args__:
        hints = {each.name: each.type for each in msgspec.structs.fields(kind)}
        for name, hint in hints.items():
            for value in wrong_values(hint):
                others = {"command": str(kind.__struct_config__.tag), "id": "x"}
                others.pop(name, None)
                yield json.dumps(others).encode()[:-1] + b"," + json.dumps(name).encode() + b":" + value + b"}"


def test_no_field_of_any_request_takes_what_is_not_of_its_type() -> None:
    asked = list(wrong_requests())
    assert len(asked) > 500
    for data in asked:
        try:
            request = commands.decode(data)
        except ValueError:
            continue
        pytest.fail(f"{data[:200]!r} is {request}")


CONTENTS: dict[str, bytes] = {
    "nested": NOTE + b'"more":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "nested objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a long unknown field": NOTE + b'"' + b"q" * 60_000 + b'":1}',
    "a long name of a request": b'{"id":"x","command":"' + b"z" * 60_000 + b'"}',
    "escape sequences": b'{"id":"x","command":"\\u001b[31m\\u202e\\n"}',
    "a number of 60,000 digits": NOTE + b'"pid":1' + b"0" * 60_000 + b"}",
    "a number beyond 64 bits": NOTE + b'"pid":1' + b"0" * 30 + b"}",
    "a surrogate": NOTE + b'"user":"\\ud800"}',
    "half": NOTE[:20],
    "two requests": NOTE[:-1] + b"}" + NOTE[:-1] + b"}",
    "zeros": b"\0" * 1000,
    "a mark of the byte order": b"\xef\xbb\xbf" + NOTE[:-1] + b"}",
    "UTF-16": (NOTE[:-1] + b"}").decode().encode("utf-16"),
}


def test_contents_that_are_no_request_are_rejected_in_one_line(fit: AskedFit) -> None:
    for number, data in enumerate(CONTENTS.values()):
        put_bytes(fit.run, data, f"{number:02}.json")
    fit.step_until(lambda: len(fit.answers()) == len(CONTENTS))
    for name, answer in zip(CONTENTS, fit.answers(), strict=True):
        assert isinstance(answer, events.CommandRejected), name
        assert answer.reason.isprintable(), name
        assert len(answer.reason) < 600, name
    assert still_takes_requests(fit)


def test_of_keys_that_are_there_twice_one_counts(fit: AskedFit) -> None:
    put_bytes(fit.run, b'{"command":"note","text":"a","text":"b","id":"x","id":"y"}', "1.json")
    (answer,) = fit.step_until(fit.answers)
    assert (type(answer), answer.id, answer.request["text"]) == (events.CommandApplied, "y", "b")


def test_names_are_shown_never_interpreted(fit: AskedFit) -> None:
    names = [b"\xff\xfe.json", b"a\nb\x1b[31m.json", b"n" * 250 + b".json", "\u202e層.json".encode(), b" .json"]
    for name in names:
        put_bytes(fit.run, b"no request", name)
    fit.step_until(lambda: len(fit.answers()) == len(names))
    assert all(answer.id.isprintable() for answer in fit.answers())
    assert len({answer.id for answer in fit.answers()}) == len(names)
    assert still_takes_requests(fit)
    until(lambda: list(fit.run.commands.iterdir()) == [])


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        # The path of a socket is short.
        made.bind(f"/proc/self/fd/{os.open(path.parent, os.O_RDONLY)}/{path.name}")


def make_sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def make_device(path: Path) -> None:
    os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a socket": (make_socket, "it is not a regular file"),
    "a pipe": (os.mkfifo, "it is not a regular file"),
    "a directory": (Path.mkdir, "it is not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nowhere"), "it is a link"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "it is a link"),
    "a terabyte of nothing": (make_sparse, "its file is larger than 65536 bytes"),
    "a device": (make_device, "it is not a regular file"),
    "another user's": (
        lambda path: (path.write_bytes(NOTE[:-1] + b"}"), os.chown(path, 65534, 65534)),
        "its file belongs to another user (uid 65534)",
    ),
}


@pytest.mark.parametrize("what", FILES)
def test_files_of_every_kind_are_refused_in_words(fit: AskedFit, what: str) -> None:
    make, words = FILES[what]
    made = fit.run.path / "made"
    if what in ("a device", "another user's") and os.getuid() != 0:
        pytest.skip("only root may make it")
    make(made)
    made.rename(fit.run.commands / "x.json")
    (answer,) = fit.step_until(fit.answers)
    assert isinstance(answer, events.CommandRejected)
    assert (answer.id, answer.reason) == ("x", words)
    until(lambda: list(fit.run.commands.iterdir()) == [])
    assert still_takes_requests(fit)


def test_a_device_is_not_opened(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some act when they are opened: a tape is rewound, a watchdog begins to count."""
    opened: list[Any] = []
    real = os.open
    monkeypatch.setattr(
        "tuimon.trainer.requests.inbox.os.open", lambda path, *a, **k: (opened.append(path), real(path, *a, **k))[1]
    )
    os.mkfifo(run.commands / "x.json")
    inbox = Inbox(run.commands, pytest.fail)
    until(lambda: inbox.received)
    inbox.close()
    assert "x.json" not in opened


def test_requests_of_another_user_in_a_directory_that_was_opened_to_all_are_refused(
    run: RunDirectory, fit: AskedFit
) -> None:
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may become another user")
    # pytest's own directories are the caller's alone.
    temporary = Path(tempfile.gettempdir())
    for directory in run.commands.parents:
        if temporary in directory.parents:
            directory.chmod(directory.stat().st_mode | 0o011)
    run.commands.chmod(0o1777)
    script = 'printf %s "$1" > "$2/.y" && mv "$2/.y" "$2/y.json" && mkdir "$2/z.json"'
    stop = '{"command":"stop","id":"theirs"}'
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    subprocess.run([*nobody, "sh", "-c", script, "sh", stop, str(run.commands)], check=True)
    fit.step_until(lambda: len(fit.answers()) == 2)
    assert {(answer.id, getattr(answer, "reason", "")) for answer in fit.answers()} == {
        ("y", "its file belongs to another user (uid 65534)"),
        ("z", "it is not a regular file"),
    }
    assert not fit.fit.was_stopped
    assert still_takes_requests(fit)


def test_more_files_than_anybody_means_are_removed_without_an_answer_each(
    fit: AskedFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tuimon.trainer.requests.answers.MOST_REFUSED", 20)
    monkeypatch.setattr(inbox_module, "WAITING", 10)
    for number in range(100):
        put_bytes(fit.run, b"", f"{number:03}.json")
    fit.step_until(lambda: not any(fit.run.commands.iterdir()))
    assert still_takes_requests(fit)
    assert len(fit.answers()) == 21
    assert "commands/ holds many files that are no requests: no further one is answered" in fit.notes()


def test_no_more_requests_are_in_memory_than_a_thousand(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.005)
    monkeypatch.setattr(inbox_module, "WAITING", 10)
    sent = [commands.signed(commands.Note(text=str(number)), 0) for number in range(55)]
    for request in sent:
        run.put_request(request)
    inbox = Inbox(run.commands, pytest.fail)
    taken: list[str] = []
    while len(taken) < len(sent):
        inbox.wait()
        expected = min(10, len(sent) - len(taken))
        until(lambda expected=expected: len(inbox.received) == expected)
        taken += [inbox.received.popleft().id for _ in range(len(inbox.received))]
    inbox.close()
    assert taken == [request.id for request in sent]


def test_what_a_listing_misses_comes_before_what_was_put_later(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is made while the directory is listed may be missed, and a later one found."""
    names = [run.put_request(commands.signed(commands.Note(text=str(number)), 0)).name for number in range(4)]
    missed = [names[1]]
    listed = folder_module.names_in

    def names_in(descriptor: int) -> list[str]:
        without = missed.pop() if missed else ""
        return [name for name in listed(descriptor) if name != without]

    monkeypatch.setattr(folder_module, "names_in", names_in)
    with Folder(run.path).opened() as folder:
        assert folder_module.requests_in(folder) == names[:1]
        assert folder_module.requests_in(folder) == names


def test_a_thousand_requests_of_many_senders_keep_their_order_and_are_answered_once(fit: AskedFit) -> None:
    def send(sender: int) -> None:
        for number in range(50):
            fit.run.put_request(commands.signed(commands.Note(text=f"{sender} {number}"), attempt=0))

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(20)]
    for each in senders:
        each.start()
    for each in senders:
        each.join()
    fit.step_until(lambda: len(fit.answers()) == 1000)
    assert len({answer.id for answer in fit.answers()}) == 1000
    texts = [str(answer.request["text"]).split() for answer in fit.answers()]
    for sender in range(20):
        assert [int(number) for name, number in texts if name == str(sender)] == list(range(50))


# The directory itself


def said(fit: AskedFit, words: str) -> None:
    fit.step_until(lambda: any(words in note for note in fit.notes()))


def test_a_directory_that_is_removed_is_made_again(fit: AskedFit) -> None:
    fit.run.commands.rmdir()
    fit.step_until(fit.run.commands.is_dir)
    assert fit.run.commands.stat().st_mode & 0o777 == 0o700
    said(fit, "commands/ was removed and is made again; requests that lay there are lost")
    assert still_takes_requests(fit)


def test_a_run_that_is_removed_is_not_made_again(fit: AskedFit) -> None:
    fit.run.session_log.rename(fit.run.path / "elsewhere")
    fit.run.commands.rmdir()
    looks = fit.fit._inbox._missing_looks
    fit.step_until(lambda: fit.fit._inbox._missing_looks > looks + 2 * inbox_module.MISSING_LOOKS)
    assert not fit.run.commands.exists()
    (fit.run.path / "elsewhere").rename(fit.run.session_log)
    fit.step_until(fit.run.commands.is_dir)
    assert still_takes_requests(fit)


def test_a_run_directory_that_is_renamed_takes_requests_as_before(fit: AskedFit) -> None:
    moved = fit.run.path.rename(fit.run.path.with_name("moved"))
    request = commands.signed(commands.Note(text="there"), attempt=0)
    RunDirectory(moved).put_request(request)
    before = fit.run
    fit.run = RunDirectory(moved)
    (answer,) = fit.step_until(fit.answers)
    until(lambda: list(fit.run.commands.iterdir()) == [])
    moved.rename(before.path)
    fit.run = before
    assert answer.id == request.id


def test_a_directory_in_its_place_is_taken_for_it(fit: AskedFit) -> None:
    fit.run.commands.rename(fit.run.path / "old")
    fit.run.commands.mkdir(mode=0o700)
    said(fit, "commands/ was replaced by another directory: requests are taken from that one")
    assert still_takes_requests(fit)


@pytest.mark.parametrize("what", ["a link", "a file", "a pipe"])
def test_what_is_no_directory_is_not_followed(fit: AskedFit, tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.json").write_bytes(b'{"command":"stop","id":"x"}')
    fit.run.commands.rename(fit.run.path / "old")
    match what:
        case "a link":
            fit.run.commands.symlink_to(elsewhere)
        case "a file":
            fit.run.commands.write_text("")
        case "a pipe":
            os.mkfifo(fit.run.commands)
    said(fit, f"commands/ cannot be read, so requests are not taken: it is {'a link' if what == 'a link' else 'not'}")
    with pytest.raises(OSError, match="it is"):
        fit.run.put_request(commands.signed(commands.Note(text="a"), 0))
    assert [path.name for path in elsewhere.iterdir()] == ["x.json"]
    fit.run.commands.unlink()
    (fit.run.path / "old").rename(fit.run.commands)
    said(fit, "commands/ can be read again: requests are taken")
    assert still_takes_requests(fit)
    assert len(fit.notes()) == len(set(fit.notes()))
    assert not fit.fit.was_stopped


def test_a_directory_that_cannot_be_read_is_said_once(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the call fails here."""
    monkeypatch.setattr(inbox_module, "LOOK_SECONDS", 0.005)
    said: list[str] = []

    def refuse(_: int) -> list[str]:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(folder_module, "names_in", refuse)
        inbox = Inbox(run.commands, pytest.fail, said.append)
        looks = inbox._quiet_looks
        until(lambda: inbox._quiet_looks > looks + 10)
    until(lambda: len(said) == 2)
    inbox.close()
    assert said == [
        "commands/ cannot be read, so requests are not taken: Permission denied",
        "commands/ can be read again: requests are taken",
    ]
