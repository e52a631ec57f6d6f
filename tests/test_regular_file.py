"""Whatever lies where a file should be: nobody waits for it, and it takes no memory."""

import ast
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from helpers import ROOT, a_run, command, encode_log, environment, make_run, selected
from tuimon.cli.main import main
from tuimon.protocol import events
from tuimon.regular_file import NotRegularError, open_regular, read_regular
from tuimon.runs.log.session_log import LONGEST_LINE, Tail
from tuimon.trainer.checkpoints import CheckpointError, Checkpoints
from tuimon.ui.app import WatchApp
from tuimon.ui.screens.trainer_log.log_reader import LogChanged, LogReader
from ui.sizes import WIDE
from ui.watching import text, watching
from ui.watching import until as until_shown


def a_socket(path: Path) -> None:
    # The system takes only short paths of sockets.
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as ours:
        ours.bind(path.name)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a pipe, not a file"),
    "socket": (a_socket, "it is a socket, not a file"),
    "endless device": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
    "directory": (lambda path: path.mkdir(), "it is a directory, not a file"),
}
FILES = ("session.jsonl", "config.toml", "trainer.log", "tags.json")
MEMORY = 700 * 1024 * 1024
"""Bytes of addresses: what a command takes, without a gigabyte beside it."""


OPENERS = {"open", "read_text", "read_bytes", "fdopen"}
ELSEWHERE = {
    "cli/main.py": "the null device",
    "export/tensorboard.py": "what it writes",
    "runs/liveness.py": "/proc",
    "runs/listing/removal.py": "a lock, through no link",
    "runs/remote/cache.py": "a lock, through no link",
    "runs/remote/mirror.py": "a copy of its own, written",
    "runs/remote/remote_list.py": "a copy of its own",
    "runs/run_directory.py": "a request, written",
    "runs/request_files.py": "a request, written",
    "ui/screens/run_info/run_files.py": "/proc",
    "ui/terminal/driver.py": "the terminal",
}
"""Modules that open something else than a file of a run, and what that is."""


def openers(path: Path) -> list[int]:
    """Return the lines of a module in which a file is opened, be it by a path or by the system's call."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            by_name = isinstance(function, ast.Name) and function.id == "open"
            # Screens and dialogs are opened as well: by awaiting, or without a mode.
            by_path = isinstance(function, ast.Attribute) and function.attr in OPENERS and is_of_a_path(node)
            if by_name or by_path:
                found.append(node.lineno)
    return found


def is_of_a_path(call: ast.Call) -> bool:
    assert isinstance(call.func, ast.Attribute)
    if call.func.attr != "open" or ast.unparse(call.func.value) in ("os", "io"):
        return True
    return any(isinstance(each, ast.Constant) and str(each.value)[:1] in "rwax" for each in call.args) or any(
        each.arg in ("mode", "encoding") for each in call.keywords
    )


def test_files_of_a_run_are_opened_by_one_function() -> None:
    folders = ("runs", "ui", "cli", "export", "report", "settings.py")
    modules = [
        path for path in (ROOT / "tuimon").rglob("*.py") if path.relative_to(ROOT / "tuimon").parts[0] in folders
    ]
    found = {str(path.relative_to(ROOT / "tuimon")): lines for path in modules if (lines := openers(path))}
    assert found.keys() <= ELSEWHERE.keys(), "use tuimon.regular_file"


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abcdef")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 4) == b"abcd"
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"abcdef"
    with pytest.raises(NotRegularError, match="a link"):
        open_regular(tmp_path / "link", follow_links=False)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_else_than_a_file_is_opened(tmp_path: Path, kind: str) -> None:
    make, words = KINDS[kind]
    make(tmp_path / "it")
    with pytest.raises(NotRegularError) as raised:
        open_regular(tmp_path / "it")
    assert raised.value.strerror == words


def test_a_file_that_has_nothing_yet_is_not_waited_for() -> None:
    waits = Path("/proc/kmsg")
    if not os.access(waits, os.R_OK):
        pytest.skip("/proc/kmsg cannot be read here")
    try:
        with open_regular(waits) as file, pytest.raises(BlockingIOError):
            read_all(file)
    except PermissionError:
        pytest.skip("/proc/kmsg cannot be read here")


def read_all(file: BinaryIO) -> None:
    while file.read(1024 * 1024):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_no_command_waits_for_a_run_whose_files_are_something_else(
    runs: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, words = KINDS[kind]
    healthy = make_run(runs, a_run(), "healthy")
    for name in FILES:
        # One run for each file; the others of it are as they should be.
        run = make_run(runs, a_run(), f"with-{name}")
        (run.path / name).unlink(missing_ok=True)
        make(run.path / name)
    for arguments in ([], ["--json"], ["--params"]):
        assert main(["list", str(runs), *arguments]) == 0
        listed = capsys.readouterr().out
        assert listed.count("finished") == len(FILES)
        assert f"cannot be read: {words}" in listed
    for name, code in (("healthy", 0), ("with-session.jsonl", 2)):
        for arguments in (["doctor"], ["watch"], ["export", "--to", "csv", "--out", "-"]):
            assert main([arguments[0], str(runs / name), *arguments[1:]]) in ({0, 1, 3} if code == 0 else {2})
            said = capsys.readouterr().err
            assert (words in said) == (code == 2), said
    # The newest is looked for among all; that one of them cannot be read hides no other.
    assert main(["watch", "--runs-dir", str(runs)]) == 0
    assert main(["tag", str(runs / "with-tags.json"), "best"]) in (0, 2)
    assert main(["delete", "--yes", str(healthy.path)]) == 0
    assert main(["delete", "--yes", "--force", str(runs / "with-session.jsonl")]) in (0, 1, 2)


@pytest.mark.parametrize("kind", selected(KINDS, "pipe"))
async def test_no_screen_waits_for_a_run_whose_files_are_something_else(runs: Path, kind: str) -> None:
    make, words = KINDS[kind]
    run = make_run(runs, a_run(), "shown")
    for name in FILES[1:]:
        make(run.path / name)
    neighbour = make_run(runs, a_run(), "neighbour")
    neighbour.session_log.unlink()
    make(neighbour.session_log)
    async with watching(run) as (app, pilot):
        await until_shown(pilot, lambda: "Finished" in text(app))
        for key in "45678":
            await pilot.press(key)
        await until_shown(pilot, lambda: "neighbour" in text(app) and words in text(app))
        await pilot.press("5")
        await until_shown(pilot, lambda: words in text(app))
    app = WatchApp(neighbour)
    async with app.run_test(size=WIDE) as pilot:
        await until_shown(pilot, lambda: words in text(app))


def test_the_output_is_said_to_be_something_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "trainer.log")
    said: list[object] = []
    reader = LogReader(tmp_path / "trainer.log", said.append)
    reader._look()
    assert said == [LogChanged(None, is_other=False, reason="it is a pipe, not a file")]


def test_a_checkpoint_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "step-00000003.npz")
    with pytest.raises(CheckpointError):
        Checkpoints(tmp_path).load("step-00000003.npz")
    (tmp_path / "step-00000003.npz").unlink()
    (tmp_path / "step-00000003.npz").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError):
        Checkpoints(tmp_path).load("step-00000003.npz")


def test_what_nobody_may_read_is_said_and_hides_nothing() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can read a run as another user")
    # The directories of pytest are for their owner alone.
    with tempfile.TemporaryDirectory() as directory:
        nobody_may_read(Path(directory))


def nobody_may_read(runs: Path) -> None:
    make_run(runs, a_run(), "healthy")
    closed = make_run(runs, a_run(), "closed")
    closed.session_log.chmod(0)
    for path in (runs, *runs.iterdir()):
        path.chmod(0o755)
    other = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    for arguments, code, words in (
        (["list", str(runs)], 0, "cannot be read: Permission denied"),
        (["watch", "--runs-dir", str(runs)], 0, "healthy"),
        (["doctor", str(closed.path)], 2, "session.jsonl: Permission denied"),
    ):
        done = subprocess.run(
            [*other, *command(*arguments)], env=environment(HOME="/"), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        assert words in done.stdout + done.stderr


# Long lines


def holes(path: Path) -> None:
    """Make a log with a hole of many gigabytes, which takes no room."""
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + (1 << 36))


def one_long_line(path: Path) -> None:
    with path.open("ab") as file:
        for _ in range(LONGEST_LINE // 2**20 + 8):
            file.write(b"x" * 2**20)


@pytest.mark.parametrize("make", [holes, one_long_line])
def test_a_line_without_end_is_read_once_and_not_kept(
    runs: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(runs, a_run())
    make(run.session_log)
    tail, log = Tail(run.session_log), encode_log(a_run())
    found = tail.read_all()
    assert len(found) == len(a_run())
    assert tail.unreadable == 1
    assert tail.offset == run.session_log.stat().st_size
    read: list[int] = []
    whole_lines = Tail._long_line
    monkeypatch.setattr(Tail, "_long_line", lambda tail, file: read.append(1) or whole_lines(tail, file))
    assert tail.read_all() == []
    # What follows is read as before.
    with run.session_log.open("ab") as file:
        file.write(b"\n" + log)
    assert len(tail.read_all()) == len(a_run())
    assert tail.unreadable == 1


def test_a_torn_line_is_not_read_again_and_again(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = encode_log([events.Note(text="x" * 3_000_000)])
    path.write_bytes(line[:-10])
    tail = Tail(path)
    asked: list[int] = []

    class Counted(Tail):
        def _whole_lines(self, file, limit):  # type: ignore[no-untyped-def]
            before = file.tell()
            data = super()._whole_lines(file, limit)
            asked.append(file.tell() - before)
            return data

    tail = Counted(path)
    assert [tail.read(1000) for _ in range(5)] == [[]] * 5
    assert asked[2:] == [0, 0, 0]
    with path.open("ab") as file:
        file.write(line[-10:])
    assert len(tail.read(1000)) == 1


@pytest.mark.parametrize("make", [holes, one_long_line])
def test_no_command_holds_a_line_without_end(runs: Path, make: Callable[[Path], object]) -> None:
    run = make_run(runs, a_run())
    make(run.session_log)
    limited = (
        f"import resource, sys; resource.setrlimit(resource.RLIMIT_DATA, ({MEMORY}, {MEMORY}));"
        "from tuimon.cli.main import main;"
        "codes = [main(arguments.split()) for arguments in sys.argv[1:]];"
        "print(codes, file=sys.stderr)"
    )
    arguments = [f"list {runs}", f"doctor {run.path}", f"watch {run.path}", f"export {run.path} --to csv --out -"]
    arguments.append(f"send {run.path} --timeout 0 stop")
    done = subprocess.run(
        [sys.executable, "-c", limited, *arguments], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stderr.splitlines()[-1] == "[0, 1, 0, 0, 3]", done.stderr[-2000:]
