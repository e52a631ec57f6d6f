"""`tuimon run --resume`, with real training that is killed, stopped and gone on with."""

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from helpers import a_run, command, environment, make_run, stand_in, started, until
from tuimon.launch.launcher import TrainerProcess
from tuimon.protocol import commands, events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory

STEPS = 8
"""Of an epoch."""
EPOCHS = 6

# Without an Input: Keras builds it with the first batch. Its random numbers go on where the checkpoint has them.
MINE = """
import threading
import time
from pathlib import Path

import keras
import numpy as np

def build(units=4):
    layers = keras.layers
    return keras.Sequential([
        layers.Dense(units), layers.BatchNormalization(name="bn"), layers.Dropout(0.5), layers.Dense(1, name="last")
    ])

def data():
    print("making the data", flush=True)
    x = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    return {"x": x, "y": x[:, :1] * x[:, 1:2], "validation_data": (x[:16], x[:16, :1])}

class Plateau(keras.callbacks.ReduceLROnPlateau):
    "Counts the epochs since the best one, of which there is none: more than half of them come after a resume."

    def __init__(self, **arguments):
        super().__init__(**arguments)
        Save.plateau = self

class Hold(keras.callbacks.Callback):
    "Holds training before one step, once in the life of the run, until somebody asks for something."

    def __init__(self, filepath, at):
        super().__init__()
        self.path, self.at = Path(filepath), at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if [self.epoch, batch] == self.at and not self.path.exists():
            (thread,) = (thread for thread in threading.enumerate() if thread.name == "tuimon-inbox")
            inbox = thread._target.__self__
            self.path.touch()
            while not inbox.received:
                time.sleep(0.01)

class Save(keras.callbacks.Callback):
    plateau = None

    def __init__(self, filepath):
        super().__init__()
        self.path = filepath

    def on_train_end(self, logs=None):
        state = [self.plateau.wait, self.plateau.best, self.plateau.cooldown_counter]
        variables = [v.numpy() for v in self.model.optimizer.variables]
        np.savez(self.path, *self.model.get_weights(), *variables, np.array(state))
"""
CONFIG = f"""
[model]
build = "mine:build"
[data]
build = "mine:data"
[training]
loss = "mse"
learning_rate = 0.01
batch_size = {64 // STEPS}
epochs = {EPOCHS}
seed = 7
jit_compile = false
callbacks = [
    {{class = "mine:Save", filepath = "weights.npz"}},
    {{class = "mine:Plateau", monitor = "loss", min_delta = 99.0, patience = 3, cooldown = 1}},
    %s
]
[monitor]
checkpoint_minutes = %s
"""


def config(*holds: tuple[int, int], minutes: str) -> str:
    tables = [
        f'{{class = "mine:Hold", filepath = "held-{epoch}-{batch}", at = [{epoch}, {batch}]}}' for epoch, batch in holds
    ]
    return CONFIG % (", ".join(tables), minutes)


Event = TypeVar("Event", bound=events.Event)


class Project:
    """A config, its functions, its one run, and the processes that were started for it."""

    def __init__(self, directory: Path, text: str) -> None:
        self.runs = directory / "runs"
        self.path = directory / "project"
        for path in (self.runs, self.path):
            path.mkdir(parents=True)
        (self.path / "mine.py").write_text(MINE)
        (self.path / "mine.py").chmod(0o644)
        (self.path / "sample.toml").write_text(text)
        self.processes: list[subprocess.Popen[str]] = []

    @property
    def run(self) -> RunDirectory:
        (path,) = self.runs.iterdir()
        return RunDirectory(path)

    def start(self, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command(arguments[0], "--runs-dir", self.runs, *arguments[1:]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.path,
            env=environment(),
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def begin(self) -> "subprocess.Popen[str]":
        return self.start("run", self.path / "sample.toml", "--headless")

    def resume(self) -> "subprocess.Popen[str]":
        return self.start("run", "--resume", self.run.name, "--headless")

    def send(self, *request: str) -> str:
        process = self.start("send", self.run.name, *request)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        return out

    def facts(self, kind: type[Event], attempt: int | None = None) -> list[Event]:
        found, now = [], -1
        for fact in Tail(self.run.session_log).read_all():
            now = fact.attempt if isinstance(fact, events.RunStarted) else now
            if isinstance(fact, kind) and attempt in (None, now):
                found.append(fact)
        return found

    def until_held(self, epoch: int, batch: int) -> None:
        until(lambda: any(self.runs.glob(f"*/held-{epoch}-{batch}")), what=f"epoch {epoch}, batch {batch}")

    def kill_trainer(self) -> int:
        """Kill the trainer as the system does; returns the last step that its log knows."""
        os.kill(self.facts(events.RunStarted)[-1].pid, signal.SIGKILL)
        self.processes[-1].communicate()
        return max(fact.step for fact in self.facts(events.Event))

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        for log in self.runs.glob("*/session.jsonl"):
            for fact in Tail(log).read_all():
                if isinstance(fact, events.RunStarted):
                    try:
                        os.kill(fact.pid, signal.SIGKILL)
                    except ProcessLookupError:
                        continue


def finished(process: "subprocess.Popen[str]") -> tuple[list[str], str]:
    """Wait for a process that should do well, and return its lines and what it said beside."""
    out, err = process.communicate()
    assert process.returncode == 0, (out, err)
    return out.splitlines(), err


def weights(run: RunDirectory) -> list[np.ndarray]:
    with np.load(run.path / "weights.npz") as saved:
        return [saved[name] for name in saved.files]


DAMAGED = b"".join(
    (
        b'{"type":"batches","seq":1,"time":1,"first_step":9223372036854775807,"metrics":{"loss":[1]},"batches":1}\n',
        b'{"type":"epoch_ended","time":1e300,"logs":{},"learning_rate":0.1,"seconds":1}\n',
        b'{"type":"note","text":"x","later":' + b"[" * 2000 + b"]" * 2000 + b"}\n",
    )
)
"""Lines that no trainer writes."""


def require_valid(project: Project, attempts: int, unreadable: int = 0) -> None:
    """Check what holds for every log, however often its run was taken up again."""
    tail = Tail(project.run.session_log)
    facts = tail.read_all()
    assert (tail.unreadable, tail.unknown) == (unreadable, 0)
    assert project.run.session_log.read_bytes().endswith(b"\n")
    assert [fact.seq for fact in facts] == list(range(len(facts)))
    steps = [fact.step for fact in facts]
    assert steps == sorted(steps), "a step never goes back"
    assert [fact.attempt for fact in facts if isinstance(fact, events.RunStarted)] == list(range(attempts))
    branch = 0
    for fact in facts:
        branch += isinstance(fact, events.RunResumed)
        assert fact.branch == branch
    trained = [step for fact in facts if isinstance(fact, events.Batches) for step in _steps(fact)]
    assert len(set(trained)) == len(trained), "each step is told once"


def _steps(fact: events.Batches) -> range:
    return range(fact.first_step, fact.first_step + fact.batches)


class Chain(Project):
    """Killed in epoch 2, its log torn before, with lines that no trainer writes; gone on with twice at once.

    Then stopped by Ctrl-C at the end of epoch 4.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, config((1, 3), (3, STEPS - 1), minutes="1e-9"))
        reference = Project(directory / "reference", config(minutes="0"))
        try:
            first, alone = self.begin(), reference.begin()
            self.until_held(1, 3)
            until(lambda: self.facts(events.CheckpointSaved), what="the checkpoint of the first epoch")
            self.kill_trainer()
            self.killed = first.returncode
            finished(alone)
            self.reference = weights(reference.run)
            # As after a kill between the checkpoint and the log's next lines.
            lines = self.run.session_log.read_bytes().splitlines(keepends=True)
            whole = [line for line in lines if b'"step":0,' in line]
            self.run.session_log.write_bytes(whole[0] + DAMAGED + b"".join(whole[1:]) + lines[len(whole)][:-9])
            both = [self.resume(), self.resume()]
            (loser,) = until(lambda: [each for each in both if each.poll() is not None], what="one to be told no")
            self.told_no = loser.returncode, loser.communicate()[1]
            (winner,) = (each for each in both if each is not loser)
            self.until_held(3, STEPS - 1)
            winner.send_signal(signal.SIGINT)
            self.after_ctrl_c = finished(winner)
            (self.run.checkpoints / "step-99999999.npz").write_bytes(b"\x1b[31mof somebody else")
            self.output, self.errors = finished(self.resume())
        finally:
            reference.end()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    project = Chain(tmp_path_factory.mktemp("chain"))
    try:
        yield project
    finally:
        project.end()


def test_it_ends_as_if_nothing_had_happened(chain: Chain) -> None:
    here = weights(chain.run)
    assert len(here) == len(chain.reference)
    assert all(np.array_equal(a, b) for a, b in zip(here, chain.reference, strict=True))


def test_the_log_of_all_attempts_is_one(chain: Chain) -> None:
    require_valid(chain, attempts=3, unreadable=DAMAGED.count(b"\n"))
    assert [fact.status for fact in chain.facts(events.RunEnded)] == ["stopped", "finished"]
    ended = chain.facts(events.EpochEnded)
    assert [(fact.epoch, fact.step) for fact in ended] == [(n, (n + 1) * STEPS) for n in range(1, EPOCHS)]
    assert [fact.initial_epoch for fact in chain.facts(events.FitStarted)] == [0, 1, 4]


def test_what_is_made_again_and_what_is_lost_is_told(chain: Chain) -> None:
    """What the log has lost of the steps before the checkpoint is not lost."""
    after_kill, after_ctrl_c = chain.facts(events.RunResumed)
    assert (after_kill.checkpoint, after_kill.to_step, after_kill.to_epoch) == ("step-00000008.npz", STEPS, 1)
    assert (after_kill.repeated_steps, after_kill.lost_steps, after_kill.step) == (0, 0, STEPS)
    assert (after_ctrl_c.to_step, after_ctrl_c.to_epoch) == (4 * STEPS, 4)
    assert (after_ctrl_c.repeated_steps, after_ctrl_c.lost_steps) == (0, 0)
    assert chain.facts(events.RunEnded)[-1].step == EPOCHS * STEPS


def test_the_second_of_two_is_told_no(chain: Chain) -> None:
    code, words = chain.told_no
    assert code == 2
    assert words.count("\n") == 1
    assert words.startswith(f"tuimon: {chain.run.name}: ")
    assert words.endswith(f"; watch it: tuimon watch {chain.run.path}\n") or "somebody else" in words


def test_a_kill_is_told(chain: Chain) -> None:
    assert chain.killed == 128 + signal.SIGKILL


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(chain: Chain) -> None:
    lines, errors = chain.after_ctrl_c
    assert "asked to stop after this batch" in errors
    assert lines[-1].startswith("stopped after ")
    saved = chain.facts(events.CheckpointSaved, attempt=1)
    assert saved[-1].reason == "training was stopped"


def test_a_checkpoint_that_cannot_be_read_is_told_and_passed_over(chain: Chain) -> None:
    (note,) = (note for note in chain.facts(events.Note) if note.text.startswith("checkpoint "))
    assert note.text.startswith("checkpoint step-99999999.npz cannot be read: ")
    assert f"step {note.step}  note: {note.text}" in chain.output


def test_the_lines_of_a_resumed_run(chain: Chain) -> None:
    assert chain.errors == ""
    lines = chain.output
    assert lines[0] == f"run {chain.run.path}"
    assert lines.count("making the data") == 1, "what its code prints is passed on, that of earlier attempts is not"
    again = f"attempt 3 goes on from step-{4 * STEPS:08}.npz at epoch 5: back to step {4 * STEPS}; no work lost"
    assert again in lines
    fit = next(number for number, line in enumerate(lines) if line.startswith("fit: "))
    assert lines[fit].startswith(f"fit: 2 epochs of {STEPS} steps, Adam")
    assert lines.index("making the data") < lines.index(again) < fit
    assert any(line.startswith(f"epoch 6/6  step {EPOCHS * STEPS}  loss ") for line in lines)
    assert lines[-1] == f"finished after {EPOCHS * STEPS} steps"
    assert not any("epoch 1/6" in line or "epoch 4/6" in line for line in lines)


def test_a_finished_run_is_refused(chain: Chain) -> None:
    process = chain.resume()
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err == f"tuimon: {chain.run.name}: it has finished; there is nothing to go on with\n"


class Steered(Project):
    """Frozen, paused, saved within an epoch, killed in the next; stopped; changed; put right."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, config((0, 4), (1, 4), (2, 2), (2, 5), minutes="1000"))
        self.begin()
        self.until_held(0, 4)
        self.send("freeze", "--layer", "bn")
        self.until_held(1, 4)
        self.send("pause")
        self.send("checkpoint")
        until(lambda: self.facts(events.StateChanged)[-1].state == "paused", what="it to be paused again")
        self.send("resume")
        self.until_held(2, 2)
        until(lambda: any(fact.epoch == 1 for fact in self.facts(events.EpochEnded)), what="the end of the epoch")
        self.step_of_kill = self.kill_trainer()
        self.left = commands.signed(commands.Stop(), attempt=None)
        self.run.put_request(self.left)  # By a Ctrl-C that the killed trainer did not see.
        process = self.resume()
        self.until_held(2, 5)
        self.send("stop")
        finished(process)
        text = self.run.config.read_text()
        assert "[model.arguments]" in text
        self.run.config.write_text(text.replace("[model.arguments]", "[model.arguments]\nunits = 5"))
        failing = self.resume()
        self.failed_output, self.failed = failing.communicate()
        self.failed_code = failing.returncode
        self.run.config.write_text(text)
        self.output, _ = finished(self.resume())


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Steered]:
    project = Steered(tmp_path_factory.mktemp("steered"))
    try:
        yield project
    finally:
        project.end()


def test_steps_within_an_epoch_are_made_again(steered: Steered) -> None:
    require_valid(steered, attempts=4)
    killed, stopped = steered.facts(events.RunResumed)
    assert killed.checkpoint == steered.facts(events.CheckpointSaved)[0].name == f"step-{STEPS + 4:08}.npz"
    assert (killed.to_step, killed.to_epoch, killed.repeated_steps) == (STEPS + 4, 1, 4)
    assert killed.lost_steps == steered.step_of_kill - (STEPS + 4)
    assert killed.lost_steps >= 4
    step = steered.step_of_kill + STEPS + 6
    assert (stopped.to_step, stopped.to_epoch, stopped.repeated_steps, stopped.lost_steps) == (step, 2, 6, 0)
    assert steered.facts(events.RunEnded)[-1].step == step + 4 * STEPS
    assert [fact.epoch for fact in steered.facts(events.EpochEnded)] == [0, 1, 1, 2, 2, 3, 4, 5]


def test_what_was_asked_of_the_killed_attempt_does_not_stop_the_next(steered: Steered) -> None:
    (rejected,) = steered.facts(events.CommandRejected)
    assert (rejected.id, rejected.reason) == (steered.left.id, "it was meant for an attempt that has ended")
    assert list(steered.run.commands.iterdir()) == []


def test_the_mode_of_the_checkpoint_is_in_force(steered: Steered) -> None:
    (bn,) = steered.facts(events.CommandApplied)[0].frozen
    assert bn.endswith("bn")
    assert [fact.frozen for fact in steered.facts(events.FitStarted)] == [[], [bn], [bn]]
    held = None
    for attempt in (1, 3):
        samples = [fact.layers[bn] for fact in steered.facts(events.BatchNorm, attempt)]
        assert len(samples) > 1
        assert {sample.mode for sample in samples[1:]} == {"frozen"}
        values = {str((s.moving_mean, s.moving_variance, s.gamma, s.beta)) for s in samples}
        assert held in (None, values)
        held = values
        assert len(values) == 1, "nothing of it has moved"
    assert steered.facts(events.BatchNorm, 0)[0].layers[bn].moving_mean != samples[0].moving_mean


def test_a_checkpoint_of_another_model_is_told_and_the_run_can_go_on_later(steered: Steered) -> None:
    assert steered.failed_code == 1
    (line,) = steered.failed.splitlines()
    assert line.startswith(f"tuimon: {steered.run.name} failed: ")
    assert "the checkpoint is of another model" in line
    assert [fact.status for fact in steered.facts(events.RunEnded)] == ["stopped", "failed", "finished"]
    assert steered.output[-1].startswith("finished after ")


def refusal(runs: Path, name: str, *options: str) -> str:
    done = subprocess.run(
        command("run", "--resume", name, "--headless", "--runs-dir", runs, *options),
        capture_output=True,
        text=True,
        check=False,
        cwd=runs,
        env=environment(),
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    return line


def with_config(run: RunDirectory, project: Path) -> RunDirectory:
    project.mkdir(exist_ok=True)
    (project / "mine.py").write_text(MINE)
    (project / "mine.py").chmod(0o644)
    text = config(minutes="0").replace("[model]", f'[run]\nname = "run"\nsource = "{project}/sample.toml"\n[model]')
    run.config.write_text(text)
    run.config.chmod(0o600)
    return run


def that_others_planted(runs: Path) -> RunDirectory:
    """Return a run that can be resumed, whose code makes a file `pwned`."""
    stopped = [*a_run()[:-1], events.RunEnded(status="stopped", step=4, epoch=1)]
    run = make_run(runs, stopped, "20991231-000000-mlp")
    touch = f'build = "os:system"\narguments = {{command = "touch {runs}/pwned"}}\n'
    run.config.write_text(f"[model]\n{touch}[data]\n{touch}")
    run.config.chmod(0o600)
    run.checkpoints.mkdir()
    (run.checkpoints / "step-00000004.npz").write_text("")
    return run


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given_away", ["all of it", "its config"])
def test_a_run_of_another_user_is_refused(runs: Path, given_away: str) -> None:
    runs.chmod(0o1777)
    mine = with_config(make_run(runs, a_run()[:-1], "20261120-211503-mlp"), runs.parent / "project")
    planted = that_others_planted(runs)
    os.utime(mine.session_log, (9, 9))
    paths = [planted.path, *planted.path.rglob("*")] if given_away == "all of it" else [planted.config]
    for path in paths:
        os.chown(path, 12345, 12345)
    words = refusal(runs, "mlp")
    if given_away == "all of it":
        assert words == f"tuimon: {planted.path}: the directory is another user's (uid 12345), the run is not resumed"
    else:
        assert words == f"tuimon: {planted.config}: the file is another user's (uid 12345), what it names is not run"
    assert not (runs / "pwned").exists()
    assert not planted.trainer_log.exists()
    # Named in full, the caller's own is resumed: the next thing is looked at.
    assert "it has no checkpoint" in refusal(runs, mine.name)


@pytest.mark.parametrize("mode", [0o757, 0o703])
def test_a_run_in_a_directory_where_others_can_put_runs_is_refused(runs: Path, mode: int) -> None:
    run = that_others_planted(runs)
    runs.chmod(mode)
    words = f"{runs}: others can write this directory, the run is not resumed; mend it with: chmod o-w {runs}"
    assert refusal(runs, "mlp") == f"tuimon: {words}"
    assert refusal(runs, str(run.session_log)) == f"tuimon: {words}"
    assert not (runs / "pwned").exists()


def test_a_run_whose_config_others_can_write_is_refused(runs: Path) -> None:
    run = that_others_planted(runs)
    run.config.chmod(0o602)
    words = f"{run.config}: others can write this file, what it names is not run; mend it with: chmod o-w {run.config}"
    assert refusal(runs, "mlp") == f"tuimon: {words}"
    process = TrainerProcess(run, resumes=True)
    process.start()
    assert process.wait() == 1, "the trainer looks as well: the file may be another one by then"
    assert words in run.trainer_log.read_text()
    assert not (runs / "pwned").exists()


@pytest.mark.parametrize("name", ["config.toml", "session.jsonl", "trainer.log"])
def test_a_run_with_a_link_in_the_place_of_a_file_is_refused(runs: Path, name: str) -> None:
    run = that_others_planted(runs)
    elsewhere = runs / "elsewhere"
    path = run.path / name
    if path.exists():
        path.rename(elsewhere)
    else:
        elsewhere.touch()
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    assert refusal(runs, "mlp").startswith(f"tuimon: {path}: it is a link, ")
    assert not (runs / "pwned").exists()
    assert elsewhere.read_bytes() == before


def test_a_run_without_a_checkpoint_is_refused(runs: Path, tmp_path: Path) -> None:
    run = with_config(make_run(runs, a_run()[:-1]), tmp_path / "project")
    assert "run: it has no checkpoint; one is made every monitor.checkpoint_minutes" in refusal(runs, "run")
    run.checkpoints.mkdir()
    (run.checkpoints / ".saving-x").write_text("half")
    assert "run: it has no checkpoint" in refusal(runs, "run")


def test_a_run_of_an_own_script_is_refused(runs: Path) -> None:
    make_run(runs, a_run()[:-1])
    words = "run: it has no config.toml: run its script again, with tuimon.Monitor(resume='auto')"
    assert refusal(runs, "run") == f"tuimon: {words}"


def test_a_run_that_still_trains_is_refused(runs: Path) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "hold"):
        words = refusal(runs, "run")
    assert words == f"tuimon: run: it still trains; watch it: tuimon watch {run.path}"
    with stand_in(run, "hold"):
        assert "it still trains" in refusal(runs, "run", "--force")


def test_a_run_of_another_machine_is_refused(runs: Path) -> None:
    make_run(runs, [started(boot_id="another")])
    words = (
        "run: it trains on another machine, or did before a reboot (somewhere); if it surely does not train any more: "
    )
    assert refusal(runs, "run") == f"tuimon: {words}--resume RUN --force"
    # Told so, the next thing is looked at.
    assert "it has no config.toml" in refusal(runs, "run", "--force")


def test_a_run_without_a_lock_is_refused_where_its_end_is_not_proven(runs: Path) -> None:
    make_run(runs, [started(lock_error="No locks available")])
    words = "run: its file system has no locks, which would tell whether it still trains; if it surely does not train"
    assert refusal(runs, "run").startswith(f"tuimon: {words}")
    assert "it has no config.toml" in refusal(runs, "run", "--force")


def test_a_run_whose_functions_are_gone_is_refused(runs: Path, tmp_path: Path) -> None:
    run = with_config(make_run(runs, a_run()[:-1]), tmp_path / "project")
    shutil.rmtree(tmp_path / "project")
    assert refusal(runs, "run").startswith(f"tuimon: {run.config}: model.build: ")


def test_whoever_comes_while_another_trainer_starts_is_told_no(runs: Path, tmp_path: Path) -> None:
    """The other has the log, and has not said a word in it."""
    stopped = [*a_run()[:-1], events.RunEnded(status="stopped", step=4, epoch=1)]
    run = with_config(make_run(runs, stopped), tmp_path / "project")
    run.checkpoints.mkdir()
    (run.checkpoints / "step-00000004.npz").write_text("")
    before = run.session_log.read_bytes()
    with run.session_log.open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        words = refusal(runs, "run")
    assert words == f"tuimon: run: somebody else goes on with it; watch it: tuimon watch {run.path}"
    assert run.session_log.read_bytes() == before
