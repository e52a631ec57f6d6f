"""Each id has one answer: through kills, copies of requests, further attempts, and several fits."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers import ROOT, environment, until
from trainer.asking import AskedFit, put
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.requests.answers import Answers
from tuimon.trainer.requests.inbox import Received
from tuimon.trainer.session.log_file import LogFile
from tuimon.trainer.session.recorder import Recorder


@pytest.fixture
def run(runs: Path) -> RunDirectory:
    return RunDirectory.at(runs / "run")


@pytest.fixture
def fit(run: RunDirectory) -> Iterator[AskedFit]:
    made = AskedFit(run)
    yield made
    made.end()
    assert made.errors == []


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_before_the_claim() -> None:
    Received.claim = die  # type: ignore[method-assign,assignment]


def die_after_the_claim() -> None:
    claim = Answers.claim
    Answers.claim = lambda self, received: claim(self, received) and die()  # type: ignore[method-assign]


def die_once_it_is_applied() -> None:
    Answers.applied = die  # type: ignore[method-assign,assignment]


def die_before_the_fact_is_on_disk() -> None:
    append = LogFile.append
    LogFile.append = lambda self, data: (  # type: ignore[method-assign]
        die() if b"command_applied" in data else append(self, data)
    )


def die_in_the_middle_of_the_fact() -> None:
    append = LogFile.append
    LogFile.append = (
        lambda self, data: (  # type: ignore[method-assign]
            (os.write(self._file, data[: data.index(b"command_applied") + 20]), die())
            if b"command_applied" in data
            else append(self, data)
        )
    )


def die_before_the_file_is_deleted() -> None:
    Received.delete = die  # type: ignore[method-assign]


KILLS: dict[str, tuple[Callable[[], None], str]] = {
    "before the claim": (die_before_the_claim, "it was meant for an attempt that has ended"),
    "after the claim": (die_after_the_claim, "the attempt that took it was killed before it answered"),
    "once it is applied": (die_once_it_is_applied, "the attempt that took it was killed before it answered"),
    "before the fact is on disk": (
        die_before_the_fact_is_on_disk,
        "the attempt that took it was killed before it answered",
    ),
    "in the middle of the fact": (
        die_in_the_middle_of_the_fact,
        "the attempt that took it was killed before it answered",
    ),
    "before the file is deleted": (die_before_the_file_is_deleted, ""),
}


def be_killed(where: str, path: str) -> None:
    """Train until a request is taken, and be killed at that place. Runs in a process of its own."""
    KILLS[where][0]()
    fit = AskedFit(RunDirectory(Path(path)))
    fit.step_until(lambda: False)


@pytest.mark.parametrize("where", KILLS)
def test_a_trainer_that_is_killed_leaves_no_request_without_an_answer(run: RunDirectory, where: str) -> None:
    request = commands.signed(commands.LearningRate(learning_rate=0.5), attempt=0)
    run.put_request(request)
    program = f"import trainer.test_answered_once as it; it.be_killed({where!r}, {str(run.path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(PYTHONPATH=os.pathsep.join([str(ROOT / "tests"), *sys.path])),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    fit = AskedFit(run, resumes=True)
    try:
        (answer,) = until(fit.answers)
        fit.step()
        reason = KILLS[where][1]
        assert answer.id == request.id
        assert isinstance(answer, events.CommandRejected) == bool(reason)
        assert getattr(answer, "reason", "") == reason
        assert answer.request == commands.as_fields(request)
        assert fit.engine.learning_rate.rate == 0.1, "it was applied to the resumed attempt"
        until(lambda: not any(run.commands.iterdir()))
    finally:
        fit.end()
    assert [each.id for each in fit.answers()] == [request.id]


def only(fit: AskedFit, count: int) -> None:
    """Check that the log has so many answers, each to an id of its own."""
    counts = Counter(answer.id for answer in fit.answers())
    assert len(counts) == count
    assert set(counts.values()) == {1}


def test_of_two_requests_with_one_id_the_second_is_rejected(run: RunDirectory, fit: AskedFit) -> None:
    request = commands.signed(commands.Note(text="hello"), attempt=0)
    put(run, request, "1.json")
    put(run, request, "2.json")
    fit.step_until(lambda: len(fit.answers()) == 2)
    put(run, request, "2.json")
    first, second, third = fit.step_until(lambda: len(fit.answers()) == 3 and fit.answers())
    assert (type(first), first.id) == (events.CommandApplied, request.id)
    assert (type(second), second.id, type(third), third.id) == (
        events.CommandRejected,
        "2",
        events.CommandRejected,
        "2-2",
    )
    assert second.reason == f"a request with the id {request.id} was here before: each needs an id of its own"
    assert fit.notes().count("hello") == 1


def test_of_two_requests_with_one_id_that_wait_for_a_step_one_is_applied(run: RunDirectory, fit: AskedFit) -> None:
    request = commands.signed(commands.Freeze(layers=["bn_1"]), attempt=0)
    put(run, request, "1.json")
    put(run, request, "2.json")
    fit.step_until(lambda: len(fit.answers()) == 2)
    assert {(type(answer), answer.id) for answer in fit.answers()} == {
        (events.CommandApplied, request.id),
        (events.CommandRejected, "2"),
    }


def test_a_copy_of_an_old_request_is_no_new_one(run: RunDirectory) -> None:
    """Neither in another `fit` of the same process nor in another attempt."""
    fit = AskedFit(run)
    request = commands.signed(commands.Note(text="hello"), attempt=None)
    file = put(run, request, "1.json")
    kept = shutil.copy(file, run.path / "kept")
    fit.step_until(lambda: len(fit.answers()) == 1)
    fit.another_fit()
    shutil.copy(kept, run.commands / ".2")
    (run.commands / ".2").rename(run.commands / "2.json")
    fit.step_until(lambda: len(fit.answers()) == 2)
    fit.end()
    fit = AskedFit(run, resumes=True)
    shutil.copy(kept, run.commands / ".3")
    (run.commands / ".3").rename(run.commands / "3.json")
    fit.step_until(lambda: len(fit.answers()) == 3)
    fit.end()
    assert [(type(each), each.id) for each in fit.answers()] == [
        (events.CommandApplied, request.id),
        (events.CommandRejected, "2"),
        (events.CommandRejected, "3"),
    ]
    assert fit.notes().count("hello") == 1


def test_a_hard_link_to_an_old_request_is_none(run: RunDirectory, fit: AskedFit) -> None:
    request = commands.signed(commands.Note(text="hello"), attempt=0)
    (run.path / "kept").write_bytes(commands.encode(request))
    (run.commands / "1.json").hardlink_to(run.path / "kept")
    (answer,) = fit.step_until(fit.answers)
    assert (answer.id, answer.reason) == ("1", "its file has several links")


def test_what_cannot_be_removed_is_answered_once(
    run: RunDirectory, fit: AskedFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's file in a directory with the sticky bit. Root may remove everything, so the calls fail here."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    request = commands.signed(commands.Note(text="hello"), attempt=None)
    with monkeypatch.context() as patched:
        patched.setattr("tuimon.trainer.requests.inbox.os.rename", refuse)
        patched.setattr("tuimon.trainer.requests.inbox.os.unlink", refuse)
        (run.path / "x").write_bytes(commands.encode(request))
        (run.path / "x").replace(run.commands / "x.json")
        (run.path / "y").write_bytes(b"no request")
        (run.path / "y").replace(run.commands / "y.json")
        fit.step_until(lambda: len(fit.answers()) == 2)
        for _ in range(3):
            fit.another_fit()
            looks = fit.fit._inbox._quiet_looks
            fit.step_until(lambda looks=looks: fit.fit._inbox._quiet_looks > looks + 2)
        assert sorted(path.name for path in run.commands.iterdir()) == ["x.json", "y.json"]
    only(fit, 2)


def test_a_directory_in_the_place_of_a_request_is_answered_once(run: RunDirectory) -> None:
    fit = AskedFit(run)
    (run.commands / "x.json").mkdir()
    (run.commands / "x.json" / "file").write_text("")
    fit.step_until(fit.answers)
    fit.end()
    assert [path.name for path in run.commands.iterdir()] == [".x.json.claimed"]
    fit = AskedFit(run, resumes=True)
    fit.end()
    only(fit, 1)


def test_a_stop_that_was_left_ends_no_further_attempt(run: RunDirectory) -> None:
    fit = AskedFit(run)
    fit.recorder.close()
    for number, attempt in enumerate((0, None)):
        put(run, commands.signed(commands.Stop(), attempt=attempt), f"{number}.json")
    resumed = AskedFit(run, resumes=True)
    resumed.step()
    resumed.end()
    assert not resumed.fit.was_stopped
    assert [each.reason for each in resumed.answers()] == ["it was meant for an attempt that has ended"] * 2


def test_what_is_put_between_two_fits_is_taken_by_the_second(run: RunDirectory, fit: AskedFit) -> None:
    fit.fit.end()
    request = commands.signed(commands.Stop(), attempt=0)
    run.put_request(request)
    fit.another_fit()
    fit.step_until(fit.answers)
    assert [(type(each), each.id) for each in fit.answers()] == [(events.CommandApplied, request.id)]


def test_ids_are_unique_also_where_tuimon_asks(run: RunDirectory, fit: AskedFit) -> None:
    fit.fit.retreat(RuntimeError("a shape"))
    fit.fit.retreat(RuntimeError("a shape"))
    fit.step_until(lambda: len(fit.answers()) == 2)
    only(fit, 2)


def test_a_recorder_knows_what_former_attempts_answered(run: RunDirectory) -> None:
    fit = AskedFit(run)
    request = commands.signed(commands.Note(text="hello"), attempt=0)
    run.put_request(request)
    fit.step_until(fit.answers)
    fit.end()
    again = Recorder(run, name="fake", resumes=True)
    again.close()
    assert again.answered == {request.id}
