"""Training on several devices at once, `MirroredStrategy`: what is watched is one training, and every control works.

Keras keeps some values on each replica for itself: the moving statistics of a layer that is not synchronized, and
the running means of an epoch. They too must be what they were.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT, environment

pytestmark = pytest.mark.full  # Its two replicas hand over to each other at each step, slowly beside other processes.

SCRIPT = Path(__file__).parent / "on_two_replicas.py"
STEPS, SAMPLES = 5, 75
STATISTICS = {f"small/{layer}/{name}" for layer in ("bn_1", "bn_2") for name in ("moving_mean", "moving_variance")}
LEARNED = {f"small/{layer}/{name}" for layer in ("bn_1", "bn_2") for name in ("gamma", "beta")}
DENSE = {f"small/dense_{number}/{name}" for number in (1, 2, 3) for name in ("kernel", "bias")}
SECOND = {"small/dense_2/kernel", "small/dense_2/bias"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train everything once: the script's results."""
    directory = tmp_path_factory.mktemp("mirrored")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    line = [sys.executable, str(SCRIPT), str(directory)]
    done = subprocess.run(line, env=environment(PYTHONPATH=path), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads((directory / "results.json").read_text(encoding="utf-8"))


def test_keras_alone_trains_twice_to_the_same_bits(results: Any) -> None:
    assert results["watch"]["deterministic"]


@pytest.mark.parametrize(
    "part",
    [
        pytest.param("watched", id="nothing is asked"),
        pytest.param("asked", id="what changes no number is asked"),
    ],
)
def test_watching_changes_no_bit(results: Any, part: str) -> None:
    assert results["watch"][part] == {"differences": [], "same history": True}


def test_the_loss_of_a_batch_is_that_of_all_replicas(results: Any) -> None:
    losses, sums = results["watch"]["losses"], results["watch"]["sums"]
    assert len(losses) == len(sums) == 2 * STEPS
    for number, (total, count) in enumerate(sums):
        before = sums[number - 1] if number % STEPS else (0.0, 0.0)
        assert losses[number] == pytest.approx((total - before[0]) / (count - before[1]), rel=1e-5)
    assert {count for _, count in sums[STEPS - 1 :: STEPS]} == {SAMPLES}


def test_the_loss_of_a_batch_is_what_its_examples_give(results: Any) -> None:
    inference = results["steer"]["inference"]
    assert inference["seen"] == pytest.approx(inference["expected"], rel=1e-5)


def test_freezing_is_that_of_keras_bit_for_bit(results: Any) -> None:
    assert results["freeze"]["differences"] == []


def test_flags_set_after_the_trace_have_no_effect(results: Any) -> None:
    assert results["flags"]["differences"] == []
    assert results["flags"]["losses"] == STEPS


ANSWERS = {
    "asked": ["evaluate", "snapshot", "note", "recalibrate, dry run", "checkpoint", "evaluate", "pause", "resume"],
    "freeze": ["freeze all", "freeze weights of dense_2", "unfreeze all", "unfreeze weights of all"],
    "steer": [
        "pause",
        "freeze all",
        "resume",
        "unfreeze all",
        "hold statistics of all",
        "unhold statistics of all",
        "freeze weights of dense_2",
        "unfreeze weights of dense_2",
        "learning rate 5e-4",
        "momentum 0 of all",
        "momentum 0.99 of all",
        "phase train",
        "phase inference",
        "phase auto",
        "checkpoint",
        "roll back to the newest checkpoint",
        "recalibrate",
        "evaluate",
        "snapshot",
        "note",
        "stop after this batch",
    ],
}
VERIFIED = ("freeze", "unfreeze", "momentum", "phase")


@pytest.mark.parametrize(
    ("part", "words"), [(part, words) for part in ANSWERS for words in dict.fromkeys(ANSWERS[part])]
)
def test_every_request_is_applied_and_seen_to_be_in_force(results: Any, part: str, words: str) -> None:
    answers = results["watch"]["answers"] if part == "asked" else results[part]["answers"]
    assert sorted(answer["words"] for answer in answers) == sorted(ANSWERS[part])
    for answer in answers:
        if answer["words"] == words:
            assert answer["reason"] == ""
            assert answer["held"] is (True if words.startswith(VERIFIED) else None)


@pytest.mark.parametrize(
    ("step", "moved"),
    [
        pytest.param("0/0", {*STATISTICS, *LEARNED, *DENSE}, id="as Keras does it"),
        pytest.param("0/1", DENSE, id="frozen"),
        pytest.param("0/2", {*STATISTICS, *LEARNED, *DENSE}, id="unfrozen"),
        pytest.param("0/3", {*LEARNED, *DENSE}, id="statistics held"),
        pytest.param("0/4", {*STATISTICS, *LEARNED, *DENSE}, id="statistics not held"),
        pytest.param("1/1", {*STATISTICS, *LEARNED, *DENSE} - SECOND, id="weights frozen"),
        pytest.param("1/2", {*STATISTICS, *LEARNED, *DENSE}, id="weights unfrozen"),
        pytest.param("2/4", {*STATISTICS, *LEARNED, *DENSE}, id="phase train"),
        pytest.param("3/0", {*LEARNED, *DENSE}, id="phase inference"),
        pytest.param("4/0", {*STATISTICS, *LEARNED, *DENSE}, id="phase auto"),
    ],
)
def test_a_step_moves_what_the_mode_lets_move(results: Any, step: str, moved: set[str]) -> None:
    assert set(results["steer"]["moved"][step]) == moved


def test_no_validation_moves_anything(results: Any) -> None:
    assert results["steer"]["moved by validation"] == []


def test_a_phase_holds_in_validation(results: Any) -> None:
    losses = results["steer"]["validation losses"]
    assert losses[2] > 1.5 * max(losses[1], losses[3]), "with dropout"


def test_each_replica_follows_its_own_batches_with_the_momentum_asked_for(results: Any) -> None:
    for replica in results["steer"]["momentum"]:
        assert replica["seen"] == pytest.approx(replica["expected"], rel=1e-4)


def test_the_learning_rate_is_that_of_every_replica(results: Any) -> None:
    rates = results["steer"]["rates"]
    for step, both in rates.items():
        expected = 0.01 if step < "1/3" else 0.0005
        assert both == pytest.approx([expected, expected]), step


def test_recalibration_is_the_mean_and_variance_of_what_all_replicas_saw(results: Any) -> None:
    recalibrated = results["steer"]["recalibrated"]
    assert (recalibrated["batches"], recalibrated["examples"]) == (STEPS, SAMPLES)
    assert list(recalibrated["seen"]) == ["bn_1", "bn_2"]
    for layer, on_replicas in recalibrated["seen"].items():
        for on_one in on_replicas:
            for seen, expected in zip(on_one, recalibrated["expected"][layer], strict=True):
                assert seen == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_dry_run_reports_the_validation_loss(results: Any) -> None:
    dry_run = results["watch"]["dry run"]
    assert dry_run["before"] == pytest.approx(dry_run["validation loss"], rel=1e-6)
    assert dry_run["after"] != dry_run["before"]


def test_after_a_rollback_all_is_repeated_bit_for_bit_on_every_replica(results: Any) -> None:
    assert results["steer"]["rolled back"] == []


def test_the_test_would_see_replicas_that_differ(results: Any) -> None:
    assert set(results["steer"]["spread"]) == {"small/bn_1/moving_mean", "small/bn_1/moving_variance"}


def test_a_stop_is_after_the_batch(results: Any) -> None:
    steer = results["steer"]
    assert (steer["epochs"], steer["steps"], steer["status"]) == (7, 6 * STEPS + 4, "stopped")


def test_a_repeated_validation_gives_what_was_validated(results: Any) -> None:
    repeated = results["repeated"]
    assert repeated["moving"] == pytest.approx(repeated["value"], rel=1e-5)
