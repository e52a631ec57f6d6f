"""Runs on another machine, over a real ``ssh`` and ``sshd`` on this one."""

import os
import resource
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from helpers import a_run, encode_log, fit_started, layer, make_run, model_built, requests_in, stand_in, started, until
from sshd import Server, server
from tuimon.cli.common import progress_lines
from tuimon.cli.main import main
from tuimon.errors import UsageError
from tuimon.protocol import commands, events
from tuimon.query.session import open_session
from tuimon.runs.log.session_log import LogChangedError, Tail, newest_start
from tuimon.runs.remote import mirror as mirror_module
from tuimon.runs.remote import mirrored_run
from tuimon.runs.remote.address import Address, name_here, remote_address
from tuimon.runs.remote.cache import CachePlace, cache_directory, whole_lines
from tuimon.runs.remote.mirror import Mirror
from tuimon.runs.remote.mirrored_run import MirroredRun, RemoteTrainer, open_link
from tuimon.runs.remote.remote_shell import COMMAND, cksum, escaped, first_line
from tuimon.runs.remote.ssh_link import LinkLostError, SshLink
from tuimon.runs.run_directory import RunDirectory
from ui.watching import LiveRun, part, press, text, watching
from ui.watching import until as until_shown

HOSTILE = "it's $(touch harm) `touch harm`; \"&|\\ -n\n%s é"
"""A name of a run that a shell would take apart."""


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch, server(tmp_path_factory.mktemp("there"), patch) as started_server:
        patch.setattr(mirror_module, "FIRST_PAUSE", 0.05)
        patch.setattr(mirror_module, "LONGEST_PAUSE", 0.2)
        yield started_server


@contextmanager
def mirrored(path: Path, host: str = "there") -> Iterator[MirroredRun]:
    """Watch a run of this machine as one of another; the copy ends with the test."""
    link, _, address, skew = open_link(Address(host, str(path)))
    place = CachePlace(address)
    mirror = Mirror(address, link, place.run / "session.jsonl", skew=skew)
    try:
        mirror.wait()
        yield MirroredRun(place.run, mirror, RemoteTrainer(mirror), place.close)
    finally:
        mirror.close()
        place.close()


def facts() -> list[events.AnyEvent]:
    return [
        started(pid=os.getpid()),
        model_built(layer("bn_1")),
        fit_started(epochs=5, steps_per_epoch=10, can={"freeze": "", "note": ""}),
        events.StateChanged(state="training"),
    ]


def test_a_colon_before_the_first_slash_makes_an_address() -> None:
    assert remote_address("me@gpu:runs/a b") == Address("me@gpu", "runs/a b")
    assert remote_address("gpu:") == Address("gpu", "runs")
    assert remote_address("gpu:~/x/") == Address("gpu", "x")
    assert remote_address("me@[fe80::1]:/x") == Address("me@fe80::1", "/x")
    assert str(remote_address("me@[fe80::1]:/x")) == "me@[fe80::1]:/x"
    for here in ("runs/a:b", "./a:b", "run", "/a:b", ""):
        assert remote_address(here) is None


def test_a_name_of_another_machine_leads_nowhere_else_on_this_one() -> None:
    assert Address("gpu", "/x/..").name == Address("gpu", "/").name == name_here("../x") == "run"
    assert Address("gpu", "/x/.hidden é").name == ".hidden é"


@pytest.mark.parametrize(
    "command",
    [
        "doctor gpu:runs/x",
        "get gpu:runs/x loss",
        "compare run gpu:runs/x",
        "tag gpu:runs/x best",
        "delete gpu:runs/x --yes",
        "wait gpu:runs/x",
        "wait gpu:runs/x --missing-ok",
        "export gpu:runs/x --to csv --out -",
        "import gpu:runs/x",
    ],
)
def test_other_commands_say_that_they_do_not_go_there(
    command: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(runs, a_run())
    assert main(command.split()) == 2
    words = capsys.readouterr().err
    assert "gpu:runs/x: only watch, list and send reach another machine" in words
    assert words.count("\n") == 1


def test_a_session_says_that_it_does_not_go_there(runs: Path) -> None:
    with pytest.raises(UsageError, match="only watch, list and send reach another machine"):
        open_session("gpu:runs/x")


def test_a_run_whose_name_has_a_colon_is_found_by_it(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.create(runs, "units:8")
    assert main(["tag", "units:8", "best"]) == 0
    assert capsys.readouterr().out == f"{run.name}: best\n"


@pytest.mark.parametrize("name", ["-oProxyCommand=x:y", "me@-oX:y", ":x", "@gpu:x", "a b:x", "a\nb:x", "gpu\x1b:x"])
def test_what_no_host_can_be_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        remote_address(name)
    assert main(["watch", "--", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("data", [b"", b"a", b"{}\n" * 300])
def test_the_sum_is_that_of_cksum(data: bytes) -> None:
    assert (
        cksum(data) == subprocess.run(["cksum"], input=data, stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    )


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh"])
def test_each_login_shell_starts_the_script_and_sees_no_name(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    run = make_run(tmp_path, a_run(), HOSTILE)
    lines = first_line("mark") + f"open {escaped(str(run.path))}\n".encode()
    done = subprocess.run([shell, "-c", COMMAND], input=lines, capture_output=True, cwd=tmp_path)
    assert done.stderr.splitlines()[1].endswith(os.fsencode(run.path).hex().encode())
    assert b" run " in done.stderr.splitlines()[1]
    assert not list(tmp_path.rglob("harm"))


def test_a_run_with_a_hostile_name_is_watched_as_beside_it(
    there: Server, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(runs, a_run(), HOSTILE)
    assert main(["watch", str(run.path)]) == 0
    beside = capsys.readouterr().out
    assert main(["watch", f"there:{run.path}"]) == 0
    assert capsys.readouterr().out == beside
    assert main(["watch", f"there:{run.session_log}"]) == 0
    assert capsys.readouterr().out == beside
    # The newest of a directory.
    assert main(["watch", f"there:{runs}"]) == 0
    said = capsys.readouterr()
    assert said.out == beside
    assert "the newest there" in said.err
    assert not list(there.place.parent.rglob("harm"))
    assert {place.stat().st_mode & 0o77 for place in (cache_directory(), *cache_directory().rglob("*"))} == {0}


@pytest.mark.parametrize("behaviour", ["apply", pytest.param("reject", marks=pytest.mark.full)])
def test_a_request_is_answered(there: Server, runs: Path, behaviour: str, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory.at(runs / HOSTILE)
    with stand_in(run, behaviour):
        assert main(["send", f"there:{run.path}", "note", HOSTILE]) == (behaviour == "reject")
    assert capsys.readouterr().out.startswith("applied" if behaviour == "apply" else "rejected")
    assert not list(there.place.parent.rglob("harm"))


def test_a_request_lies_there_as_one_of_this_machine_and_is_withdrawn(
    there: Server, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDirectory.at(runs / "-held")
    with stand_in(run, "hold"):
        with mirrored(run.path) as copy:
            request = commands.signed(commands.Note(text=HOSTILE), attempt=0)
            beside = run.put_request(request)
            path = copy.put_request(request)
            copy.require_arrived(path)
            sent = run.commands / path.name
            assert sent.read_bytes() == beside.read_bytes()
            assert stat.S_IMODE(sent.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode) == 0o600
            assert copy.withdraw(path)
            assert not copy.withdraw(path)
            assert not sent.exists()
            beside.unlink()
        assert main(["send", "--timeout", "0.1", f"there:{run.path}", "freeze"]) == 3
        assert "withdrawn" in capsys.readouterr().err
        assert list(run.commands.iterdir()) == []


def test_requests_follow_no_link(there: Server, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path) as copy:
        live.directory.commands.rmdir()
        live.directory.commands.symlink_to(tmp_path / "elsewhere")
        path = copy.put_request(commands.signed(commands.Freeze(), attempt=0))
        with pytest.raises(OSError, match="commands/ is a link"):
            copy.require_arrived(path)
        assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_wrong_is_one_line(there: Server, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there.add_host("stranger", UserKnownHostsFile="/dev/null")
    there.add_host("refused", IdentityFile="/dev/null")
    there.add_host("closed", Port="1")
    run = make_run(runs, a_run())
    (runs / "empty").mkdir()
    wrong = {
        f"stranger:{run.path}": "Host key verification failed",
        f"refused:{run.path}": "Permission denied",
        f"closed:{run.path}": "Connection refused",
        f"there:{runs}/no\x1b[31mne": "no such directory",
        f"there:{runs}/empty": "no run in this directory",
        f"there:{run.path}/session.jsonl/x": "no such directory",
    }
    for name, words in wrong.items():
        assert main(["watch", name]) == 2, name
        said = capsys.readouterr()
        assert words in said.err, name
        assert (said.out, said.err.count("\n"), "\x1b" in said.err) == ("", 1, False), name
    for arguments in (["send", f"there:{runs}", "stop"], ["list", f"there:{run.session_log}"], ["list", "closed:x"]):
        assert main(arguments) == 2, arguments
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1), arguments


def test_the_users_configuration_for_sessions_at_a_terminal_hinders_nothing(
    there: Server, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forward = "127.0.0.1:1 127.0.0.1:2"
    there.add_host("settled", RemoteCommand="tmux new -A", RequestTTY="yes", LocalForward=forward)
    make_run(runs, a_run())
    assert main(["list", f"settled:{runs}"]) == 0
    assert "finished" in capsys.readouterr().out


@pytest.mark.full
def test_a_shared_connection_that_hangs_is_left(there: Server, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_module, "SILENCE_SECONDS", 6.0)
    path = there.place / "shared"
    there.add_host("there-shared", ControlMaster="auto", ControlPath=str(path), ControlPersist="60")
    subprocess.run(["ssh", "there-shared", "true"], stdin=subprocess.DEVNULL, check=True)
    told = subprocess.run(["ssh", "-O", "check", "there-shared"], stderr=subprocess.PIPE, check=True).stderr.decode()
    master = int(told.partition("pid=")[2].partition(")")[0])
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path, "there-shared") as copy:
        os.kill(master, signal.SIGSTOP)
        try:
            live.write(events.Note(text="while it hangs"))
            until(lambda: copy.session_log.read_bytes() == live.directory.session_log.read_bytes())
            until(lambda: copy.blind is None)
        finally:
            os.kill(master, signal.SIGKILL)


def test_a_connection_that_breaks_in_a_line_is_made_again(there: Server, runs: Path) -> None:
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path) as copy:
        log = live.directory.session_log
        line = encode_log([events.Note(text="torn")])
        os.write(live._log, line[:20])
        first = copy.mirror._link
        there.cut()
        until(lambda: copy.mirror._link is not first and copy.blind is None, what="another connection")
        assert log.read_bytes() == copy.session_log.read_bytes() + line[:20]
        os.write(live._log, line[20:])
        live.write(*(events.Note(text=f"é {number}") for number in range(3)))
        until(lambda: copy.session_log.read_bytes() == log.read_bytes(), what="the rest of the log")


def test_a_request_on_a_broken_connection_is_not_said_to_have_arrived(there: Server, runs: Path) -> None:
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path) as copy:
        pids = [int(pid) for pid in _children_of(copy)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        request = commands.signed(commands.Freeze(), attempt=0)
        copy.put_request(request)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        [(lost, why)] = until(copy.take_lost)
        assert lost == request.id
        assert "not known" in why


def _children_of(copy: MirroredRun) -> list[int]:
    link = copy.mirror._link
    assert link is not None
    return [link._process.pid]


def test_lines_say_that_the_connection_broke(there: Server, runs: Path) -> None:
    said: list[str] = []
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path) as copy:

        def show(line: str) -> None:
            said.append(line)
            if line.startswith("fit:"):
                there.stop()
            elif line.startswith("no connection"):
                there.start()

        progress_lines.follow(copy, show=show, over=lambda _: "connected to there again" in said)
    assert said[-2].startswith("no connection to there since ")
    assert said[-2].endswith("it is tried again")


def replace(run: RunDirectory) -> None:
    (run.path / "new").write_bytes(encode_log([started(name="other", pid=2), *a_run()[1:5]]))
    (run.path / "new").replace(run.session_log)


def write_over(run: RunDirectory) -> None:
    run.session_log.write_bytes(encode_log([started(name="another", pid=3), *a_run()[1:9]]))


def shorten(run: RunDirectory) -> None:
    os.truncate(run.session_log, len(run.session_log.read_bytes().splitlines(keepends=True)[0]))


def remove(run: RunDirectory) -> None:
    run.session_log.unlink()


def rename(run: RunDirectory) -> None:
    run.path.rename(run.path.with_name("renamed"))


CHANGES: dict[Callable[[RunDirectory], None], str] = {
    replace: "the log was replaced by another one",
    write_over: "the log was replaced by another one",
    shorten: "the log has become shorter than what was read of it",
    remove: "the log was removed",
    rename: "the log was removed",
}


@pytest.mark.parametrize("change", [replace, pytest.param(write_over, marks=pytest.mark.full), shorten, remove, rename])
@pytest.mark.parametrize("while_cut", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_log_that_is_another_one_is_noticed(
    there: Server, runs: Path, change: Callable[[RunDirectory], None], *, while_cut: bool
) -> None:
    run = make_run(runs, a_run())
    with mirrored(run.path) as copy:
        tail = Tail(copy.session_log)
        assert len(tail.read_all()) == len(a_run())
        if while_cut:
            there.cut()
        change(run)
        with pytest.raises(LogChangedError) as raised:
            until(tail.read)
        assert raised.value.words == CHANGES[change]
        if run.session_log.exists():
            until(lambda: copy.session_log.read_bytes() == run.session_log.read_bytes(), what="the other log")


class Answering:
    """A session whose shell answers what a test says, and breaks then."""

    def __init__(self, *answers: bytes) -> None:
        self._data = b"".join(answers)

    def send(self, *words: str) -> None:
        """Take any order."""

    def line(self, _seconds: float) -> str:
        line, newline, self._data = self._data.partition(b"\n")
        if not newline:
            raise LinkLostError("the connection broke")
        return line.decode()

    def exactly(self, size: int, _seconds: float) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        if len(data) < size:
            raise LinkLostError("the connection broke")
        return data

    def close(self) -> None:
        """Do nothing."""


@contextmanager
def answered(log: Path, *answers: bytes) -> Iterator[Mirror]:
    """Copy a log from a machine that answers this; it cannot be reached again."""
    mirror = Mirror(Address("-nowhere", "/x"), cast(SshLink, Answering(*answers)), log)
    try:
        yield mirror
    finally:
        mirror.close()


@pytest.mark.parametrize("answer", ["D", "D 0", "D 0 1", "D 0 1 2 3", "D 0 -1 1", "D a b c", "H", "H x", "", "?"])
def test_an_answer_that_none_expects_is_a_broken_connection(answer: str, tmp_path: Path) -> None:
    with answered(tmp_path / "session.jsonl", f"{answer}\n".encode()) as mirror:
        with pytest.raises(UsageError):
            mirror.wait()
        assert mirror._thread.is_alive()


def test_a_copy_on_a_full_disk_has_nothing_twice(tmp_path: Path) -> None:
    log, data = tmp_path / "session.jsonl", b"x" * 39_999 + b"\n"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
    try:
        two = [b"D 0 40000 80000\n", data, b"D 40000 40000 80000\n", data]
        with answered(log, *two) as mirror, pytest.raises(UsageError):
            mirror.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes() == data


def test_copies_lie_where_nobody_else_can_put_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root, address = cache_directory(), Address("there", "/x/run")
    place = CachePlace(address)
    place.close()
    log = place.run / "session.jsonl"
    kept = tmp_path / "kept"
    kept.write_text("no newline")
    log.symlink_to(kept)
    with pytest.raises(OSError, match="link"):
        whole_lines(log)
    assert kept.read_text() == "no newline"
    (tmp_path / "other").mkdir()
    shutil.rmtree(place.run.parent)
    place.run.parent.symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match="is a link"):
        CachePlace(address)
    assert not any((tmp_path / "other").iterdir())
    place.run.parent.unlink()
    root.chmod(0o777)
    with pytest.raises(UsageError, match="others can write"):
        CachePlace(address)


def test_a_log_that_begins_later_or_comes_back_is_copied(there: Server, runs: Path) -> None:
    run = RunDirectory.at(runs / "begins")
    with mirrored(run.path) as copy:
        assert not copy.session_log.exists()
        run.session_log.write_bytes(encode_log(a_run()))
        until(lambda: has(copy, run), what="the first log")
        run.session_log.rename(run.path / "away")
        until(lambda: not copy.session_log.exists())
        (run.path / "away").rename(run.session_log)
        until(lambda: has(copy, run), what="the log that came back")


def has(copy: RunDirectory, run: RunDirectory) -> bool:
    """Return whether a copy is all of a log."""
    return copy.session_log.exists() and copy.session_log.read_bytes() == run.session_log.read_bytes()


def test_a_copy_of_an_earlier_time_is_gone_on_with(there: Server, runs: Path) -> None:
    with LiveRun(runs, *facts()) as live:
        with mirrored(live.directory.path) as copy:
            kept = copy.session_log
        inode = kept.stat().st_ino
        with kept.open("ab") as torn:
            torn.write(b'{"type":"no')
        live.write(events.Note(text="meanwhile"))
        with mirrored(live.directory.path) as copy:
            assert (copy.session_log, copy.session_log.stat().st_ino) == (kept, inode)
            assert copy.session_log.read_bytes() == live.directory.session_log.read_bytes()
            # Whoever watches it a second time has a copy of their own.
            with mirrored(live.directory.path) as second:
                assert second.path != copy.path
        replace(live.directory)
        with mirrored(live.directory.path) as copy:
            assert copy.session_log.read_bytes() == live.directory.session_log.read_bytes()


def test_the_other_machine_says_whether_the_trainer_is_gone(
    there: Server, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("flock") is None:
        pytest.skip("needs flock")
    monkeypatch.setattr(mirrored_run, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(mirrored_run, "ASK_SECONDS", 0.0)
    run = RunDirectory.at(runs / HOSTILE)
    with stand_in(run, "hold") as process, mirrored(run.path) as copy:
        attempt = newest_start(copy.session_log)
        assert attempt is not None
        assert not copy.is_gone(attempt)
        process.kill()
        process.wait()
        until(lambda: copy.is_gone(attempt), what="the trainer is gone")
        # A machine that is not the trainer's proves nothing.
        assert not copy.is_gone(started(boot_id="another", pid=attempt.pid))


def test_a_list_is_as_the_one_made_there(there: Server, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, known in ((HOSTILE, a_run()), ("killed", a_run()[:-3])):
        log = make_run(runs, known, name).session_log
        os.utime(log, (known[-1].time, known[-1].time))
    assert main(["tag", str(runs / "killed"), "baseline"]) == 0
    with LiveRun(runs, *facts(), events.Batches(first_step=0, metrics={"loss": [1.0, 0.5]}, batches=2, step=2)) as live:
        live.write(events.EpochEnded(logs={"val_loss": 0.25}, learning_rate=1e-3, seconds=1.0, step=2))
        RunDirectory.at(runs / "begins")
        capsys.readouterr()
        assert main(["list", str(runs)]) == 0
        beside = capsys.readouterr().out
        assert main(["list", f"there:{runs}"]) == 0
        assert capsys.readouterr().out == beside
        assert main(["list", f"there:{runs}", "--filter", "state=training", "--json"]) == 0
    assert f'"path": "there:{runs}/live"' in capsys.readouterr().out
    shutil.rmtree(runs)
    runs.mkdir()
    assert main(["list", f"there:{runs}"]) == 0
    assert capsys.readouterr().out == f"no runs in there:{runs}\n"


async def test_the_screen_steers_and_says_since_when_it_is_blind(there: Server, runs: Path) -> None:
    with LiveRun(runs, *facts()) as live, mirrored(live.directory.path) as copy:
        live.write(events.Batches(first_step=0, metrics={"loss": [0.5]}, batches=1, step=1))
        until(lambda: copy.session_log.read_bytes() == live.directory.session_log.read_bytes())
        async with watching(copy) as (app, pilot):
            await press(pilot, "F")
            await until_shown(pilot, live.requests, "the request is there")
            live.apply(live.requests()[0], step=1, frozen=["bn_1"])
            await until_shown(pilot, lambda: "frozen 1/1" in part(app, "Header"), "frozen")
            there.stop()
            await until_shown(pilot, lambda: "no link for" in part(app, "Header"), "blind")
            assert "steps/s" not in part(app, "Header")
            # A notice may come first.
            await until_shown(pilot, lambda: "No connection to there since" in part(app, "Banner"), "since when")
            await press(pilot, "F")
            await until_shown(pilot, lambda: "there is no connection to there" in text(app), "refused")
            live.write(events.Note(text="written meanwhile", step=2))
            there.start()
            await until_shown(pilot, lambda: "no link" not in part(app, "Header"), "it sees again")
            assert app.viewer.state.last_seq == live.last_seq
            assert not app.viewer.moment().asked
    assert [commands.name_of(request) for request in requests_in(live.directory)] == ["freeze"]


@pytest.mark.parametrize("shell", ["fish", pytest.param("tcsh", marks=pytest.mark.full)])
def test_a_login_shell_of_another_kind_that_greets(
    tmp_path: Path, runs: Path, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    run = make_run(runs, a_run(), HOSTILE)
    force = f'echo "Welcome, {{}} and \\*"; echo greeting >&2; exec {shell} -c "$SSH_ORIGINAL_COMMAND"'
    with server(tmp_path / "server", monkeypatch, force=force):
        assert main(["watch", f"there:{run.path}"]) == 0
    assert "finished after 4 steps" in capsys.readouterr().out
    assert not list(tmp_path.rglob("harm"))


def test_an_account_without_a_shell_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(tmp_path / "server", monkeypatch, force='echo "This account is currently not available."; exit 1'):
        assert main(["watch", "there:x"]) == 2
    assert "This account is currently not available." in capsys.readouterr().err
