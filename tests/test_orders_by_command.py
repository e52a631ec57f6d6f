"""Standing orders from the shell: given, listed, cancelled, in a config, and exported as a schedule."""

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from helpers import SENDER, a_run, command, environment, make_run, numbered, read_log, stand_in, started
from tuimon.cli.main import main
from tuimon.errors import UsageError
from tuimon.export.schedule import schedule
from tuimon.launch import config
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.options import Options

Capture = pytest.CaptureFixture[str]
CONFIG = '[model]\nbuild = "m:f"\n[data]\nbuild = "m:f"\n[training]\nloss = "mse"\n[monitor]\n'


def test_an_order_is_sent_in_one_argument_or_several(runs: Path, capsys: Capture) -> None:
    run = RunDirectory.at(runs / "run")
    with stand_in(run, "apply"):
        assert main(["send", "run", "order", "when val_loss > 3 pause"]) == 0
        assert main(["send", "run", "order", "at", "epoch", "20", "freeze", "--timeout", "60"]) == 0
        assert main(["send", "run", "epochs", "120"]) == 0
        assert main(["send", "run", "cancel", "2"]) == 0
        assert main(["send", "run", "cancel", "all"]) == 0
    asked = [fact.request for fact in read_log(run) if isinstance(fact, events.CommandApplied)]
    assert asked == [
        {"command": "order", "order": "when val_loss > 3 pause"},
        {"command": "order", "order": "at epoch 20 freeze"},
        {"command": "epochs", "epochs": 120},
        {"command": "cancel", "number": 2},
        {"command": "cancel", "number": 0},
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["order", "when nan explode"], "order: 'explode' is no request"),
        (["order", "at", "epoch", "x", "freeze"], "order: after 'at epoch' expected a whole number from 1 on"),
        (["epochs", "0"], "epochs: expected int >= 1"),
        (["epochs", "many"], "argument N: invalid int value: 'many'"),
        (["cancel", "0"], "expected the number of an order, or the word all; received '0'"),
    ],
)
def test_what_is_no_order_is_not_sent(runs: Path, capsys: Capture, arguments: list[str], said: str) -> None:
    run = make_run(runs, a_run())
    assert main(["send", run.name, *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(run.commands.iterdir()) == []


def test_orders_are_listed_of_a_run_that_is_over_too(runs: Path, capsys: Capture) -> None:
    run = make_run(runs, a_run())
    assert main(["send", run.name, "order"]) == 0
    assert capsys.readouterr().out == "run: no orders\n"
    facts = [
        events.OrderGiven(number=1, order="on best val_loss checkpoint", origin="config"),
        events.OrderGiven(number=2, order="note '\x1b[31m'", origin="request", step=4),
        events.OrderFired(number=1, order="", request="order-1-0-1", why="val_loss is best", stands=True),
        events.OrderEnded(number=2, order="", reason="cancelled"),
    ]
    facts[2].step = 8
    run = make_run(runs, [*a_run(), *facts], "other")
    assert main(["send", "other", "order"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "  1  on best val_loss checkpoint   (stands, fired at step 8)"
    assert "cancelled" in second
    assert "\x1b" not in second
    assert main(["send", "other", "order", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["version"] == 1
    assert [(order["number"], order["stands"], order["origin"]) for order in found["orders"]] == [
        (1, True, "config"),
        (2, False, "request"),
    ]


def test_a_config_has_orders_and_a_schedule_whose_orders_come_first(tmp_path: Path) -> None:
    (tmp_path / "schedule.toml").write_text('[monitor]\norders = ["at step 3 freeze"]\n')
    path = tmp_path / "config.toml"
    path.write_text(CONFIG + 'orders = ["when nan stop"]\nschedule = "schedule.toml"\n')
    read = config.read(path)
    assert read.monitor.orders == ["at step 3 freeze", "when nan stop"]
    # The config of the run has all of them, whatever becomes of the schedule.
    config.write(read, tmp_path / "written.toml")
    (tmp_path / "schedule.toml").unlink()
    assert config.read(tmp_path / "written.toml") == read
    for key, said in (
        ('orders = ["when nan explode"]', "monitor.orders[0]: 'when nan explode': 'explode' is no request"),
        ('schedule = "none.toml"', "none.toml: No such file or directory"),
        ("orders = [3]", "monitor.orders[0]: expected str, got int"),
    ):
        path.write_text(CONFIG + key)
        with pytest.raises(UsageError) as caught:
            config.read(path)
        assert said in str(caught.value)
    (tmp_path / "schedule.toml").write_text("orders = []")
    with pytest.raises(UsageError, match=r"it has no `orders` in a table \[monitor\]"):
        config.read(path, ['monitor.schedule="schedule.toml"', "monitor.orders=[]"])


def test_a_monitor_takes_orders_as_a_list_as_one_or_as_a_file(tmp_path: Path) -> None:
    path = tmp_path / "schedule.toml"
    path.write_text('[monitor]\norders = ["at step 3 freeze"]\n')

    def taken(orders: object) -> object:
        return Options.checked(overhead=0.01, probe=None, probe_every=None, prepare=(), orders=orders).orders  # type: ignore[arg-type]

    assert taken(["when nan stop"]) == taken("when nan stop") == ("when nan stop",)
    assert taken(path) == taken(str(path)) == ("at step 3 freeze",)
    for orders, said in (("stop it", "'it'"), ([3], "expected a text, got int"), ("gone.toml", "No such file")):
        with pytest.raises(ValueError, match=said):
            taken(orders)


def applied(step: int, taken: int = 0, id: str = "", **request: object) -> events.CommandApplied:
    return events.CommandApplied(
        id=id or f"r-{step}-{taken}", request=dict(request), sender=SENDER, first_step=step, taken=taken, step=step
    )


def test_a_schedule_has_what_changed_training_at_its_steps(runs: Path, capsys: Capture) -> None:
    facts = [
        applied(3, 2, command="phase", phase="train"),
        applied(3, 1, command="freeze", layers=["a b", "statistics"]),
        applied(4, 3, command="note", text="hello"),
        applied(4, 4, command="recalibrate", batches=3, dry_run=True),
        applied(5, 5, command="lr", learning_rate=3e-4),
        applied(6, 6, id="retreat-6", command="phase", phase="auto"),
        events.EpochEnded(logs={}, learning_rate=0.1, seconds=1.0, step=8),
        events.EpochEnded(logs={}, learning_rate=0.1, seconds=1.0, step=16, epoch=1),
        events.OrderGiven(number=1, order="on best val_loss stop", origin="script"),
        events.OrderFired(number=1, order="", request="order-1-0-1", why="it is the best", stands=True),
        applied(16, 7, id="order-1-0-1", command="stop", after="batch"),
        events.OrderGiven(number=2, order="at epoch 3 stop", origin="script"),
        events.OrderFired(number=2, order="", request="order-2-0-1", why="epoch 3 begins"),
        applied(16, 8, id="order-2-0-1", command="stop", after="batch"),
    ]
    run = make_run(runs, [*(fact for fact in a_run() if not isinstance(fact, events.CommandApplied)), *facts])
    assert main(["export", run.name, "--to", "schedule", "--out", "-"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["monitor"]["orders"] == [
        "at step 3 freeze 'a b' statistics",
        "at step 3 phase train",
        "at step 5 lr 0.0003",
        # At the end of the epoch that began at step 8.
        "at step 8 stop epoch",
        # Before the first step of the next one, which is made.
        "at step 16 stop",
    ]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            [events.RunResumed(checkpoint="c.npz", to_step=2, to_epoch=1, repeated_steps=3, lost_steps=2)],
            "it was resumed from c.npz, with 2 steps lost and 3 repeated",
        ),
        (
            [
                events.CheckpointSaved(name="c.npz", reason="10 minutes", size_bytes=1, seconds=1.0),
                events.RolledBack(checkpoint="c.npz", to_step=2, to_epoch=1),
                applied(4, command="rollback", checkpoint=""),
            ],
            "it was rolled back to c.npz, which was not saved by a request before a step (10 minutes)",
        ),
        ([applied(4, command="teleport")], "a request that this version does not know: 'teleport'"),
        ([events.LogGap(dropped={"command_applied": 1}, reason="full")], "answers to requests are missing"),
        ([started(source="TensorBoard log /logs")], "it is read from a log of another program"),
    ],
)
def test_a_run_that_no_schedule_makes_again_is_said_to_be_one(
    runs: Path, tmp_path: Path, capsys: Capture, facts: list[events.AnyEvent], said: str
) -> None:
    run = make_run(runs, [*a_run(), *facts])
    out = tmp_path / "schedule.toml"
    assert main(["export", run.name, "--to", "schedule", "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_run_without_requests_has_an_empty_schedule(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "schedule.toml"
    run = make_run(runs, [fact for fact in a_run() if not isinstance(fact, events.CommandApplied)])
    assert main(["export", run.name, "--to", "schedule", "--out", str(out)]) == 0
    assert schedule(numbered([])) == []
    assert tomllib.loads(out.read_text()) == {"monitor": {"orders": []}}


@pytest.mark.full
def test_orders_hold_when_a_run_is_resumed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import keras, numpy as np\n"
        "def build():\n"
        "    dense, norm = keras.layers.Dense, keras.layers.BatchNormalization\n"
        "    return keras.Sequential([keras.Input((3,)), dense(4), norm(), dense(1)])\n"
        "def data():\n"
        "    x = np.random.default_rng(0).standard_normal((64, 3)).astype('float32')\n"
        "    return {'x': x, 'y': x[:, :1]}\n"
    )
    (tmp_path / "mine.py").chmod(0o644)
    (tmp_path / "sample.toml").write_text(
        '[model]\nbuild = "mine:build"\n[data]\nbuild = "mine:data"\n'
        '[training]\nloss = "mse"\nbatch_size = 8\nepochs = 3\nseed = 1\njit_compile = false\n'
        "[monitor]\ncheckpoint_minutes = 1e-9\n"
        'orders = ["epochs 5", "at epoch 2 freeze", "at epoch 5 lr 1e-5", "at step 20 stop", "on best loss note x"]\n'
    )
    runs = tmp_path / "runs"

    def tuimon(*arguments: object) -> None:
        made = subprocess.run(
            command("run", "--runs-dir", runs, *arguments, "--headless"),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr

    tuimon(tmp_path / "sample.toml")
    (path,) = runs.iterdir()
    tuimon("--resume", path.name)
    facts = read_log(RunDirectory(path))
    given = [fact.order for fact in facts if isinstance(fact, events.OrderGiven)]
    assert len(given) == 5, "each once in the life of the run"
    fired = [(fact.number, fact.epoch) for fact in facts if isinstance(fact, events.OrderFired) and fact.number != 5]
    assert fired == [(1, 0), (2, 1), (4, 2), (3, 4)]
    ended = [fact.epoch for fact in facts if isinstance(fact, events.EpochEnded)]
    assert ended == [0, 1, 2, 2, 3, 4], "the number of epochs that was asked for holds"
    last = [fact for fact in facts if isinstance(fact, events.FitStarted)][-1]
    assert (last.epochs, last.initial_epoch, len(last.frozen)) == (5, 2, 1)
    assert isinstance(facts[-1], events.RunEnded)
    assert facts[-1].status == "finished"
