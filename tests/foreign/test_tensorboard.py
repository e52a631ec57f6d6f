"""TensorBoard's event files: as other programs recorded them, and as they are torn, damaged, restarted and replaced."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foreign import event_files
from foreign.event_files import append, event, simple, starts_at, tensor
from helpers import read_log
from tuimon.foreign import records
from tuimon.foreign.curves import ForeignLog
from tuimon.foreign.sources import find, find_one
from tuimon.foreign.tensorboard import TensorBoardLog
from tuimon.foreign.translated import Followed, import_run
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.series import Series
from tuimon.runs.state import RunState

RECORDED = Path(__file__).parent / "recorded"
Curves = dict[str, list[tuple[int, float]]]


def log_of(directory: Path) -> ForeignLog:
    source = TensorBoardLog(directory)
    source.read()
    return source.log


def points(series: Series) -> list[tuple[int, float]]:
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def curves_of(run: RunDirectory) -> tuple[Curves, Curves, Curves]:
    """Return the curves that a run's log folds to: of steps, running means, and epochs."""
    state = RunState()
    state.apply(read_log(run))
    assert not state.untaken
    every = state.batch_metrics, state.running_metrics, state.epoch_metrics
    steps, running, epochs = ({name: points(series) for name, series in found.items()} for found in every)
    return steps, running, epochs


def imported(path: Path, runs: Path) -> RunDirectory:
    return import_run(find_one(path, "tuimon import"), runs, "imported")


def single(values: list[float]) -> list[float]:
    return np.array(values, dtype=np.float32).astype(np.float64).tolist()


@pytest.mark.parametrize("name", ["keras", "keras_batches"])
def test_epochs_of_keras_are_what_its_history_says(name: str, tmp_path: Path) -> None:
    history = json.loads((RECORDED / f"{name}.json").read_text())
    facts = read_log(imported(RECORDED / name, tmp_path))
    epochs = [fact for fact in facts if isinstance(fact, events.EpochEnded)]
    for metric, values in history.items():
        assert [epoch.logs[metric] for epoch in epochs] == single(values)
    assert [epoch.epoch for epoch in epochs] == [0, 1, 2, 3]
    # 36 examples in batches of 12: the log has the steps with its validations.
    assert [epoch.step for epoch in epochs] == [3, 6, 9, 12]
    assert {epoch.learning_rate for epoch in epochs} == set(single([0.01]))


def test_batch_values_of_keras_are_running_means_at_the_steps_completed(tmp_path: Path) -> None:
    history = json.loads((RECORDED / "keras_batches.json").read_text())
    steps, running, _ = curves_of(imported(RECORDED / "keras_batches", tmp_path))
    assert not steps
    assert [step for step, _ in running["loss"]] == list(range(1, 13))
    # The running mean at an epoch's last batch is the epoch's.
    assert [value for step, value in running["loss"] if step % 3 == 0] == single(history["loss"])


@pytest.mark.parametrize(("epochs", "is_said"), [([3], True), ([], True), ([0, 1, 2, 3], False)])
def test_epochs_that_keras_left_out_are_told(epochs: list[int], is_said: bool, tmp_path: Path) -> None:
    """With `update_freq=4`, Keras 3 writes the values of an epoch of 5 steps after each fourth epoch alone."""
    path = tmp_path / "logs" / "train" / "events.out.tfevents.1.host.v2"
    path.parent.mkdir(parents=True)
    for step in range(4, 21, 4):
        append(path, event(step, tensor("batch_loss", 0.5), time=1000.0 + step))
    for epoch in epochs:
        append(path, event(epoch, tensor("epoch_loss", 0.5), time=1020.5))
    remarks = log_of(tmp_path / "logs").remarks
    assert any("update_freq=4" in remark and "not in the log" in remark for remark in remarks) == is_said


def test_histograms_tell_limits_and_median(tmp_path: Path) -> None:
    _, _, epochs = curves_of(imported(RECORDED / "keras", tmp_path))
    least, median, largest = (
        np.array([value for _, value in epochs[f"sequential/bn/moving_variance/{name}"]])
        for name in ("min", "p50", "max")
    )
    assert len(least) == 4
    assert (least < median).all()
    assert (median < largest).all()
    # It begins at 1 and the inputs' variance is below.
    assert (np.diff(least) < 0).all()
    steps, _, _ = curves_of(imported(RECORDED / "tensorboardx", tmp_path))
    assert steps["weights/min"] == [(4, -1.0)]
    assert steps["weights/max"] == [(4, 3.0)]
    assert steps["weights/p50"][0][1] == pytest.approx(1.0, abs=0.1)


def test_no_layer_statistics_are_made_of_histograms(tmp_path: Path) -> None:
    kinds = {type(fact) for fact in read_log(imported(RECORDED / "keras", tmp_path))}
    assert not kinds & {events.BatchNorm, events.BatchNormChannels, events.ModelBuilt, events.FitStarted, events.Probe}
    assert events.RunEnded not in kinds


def test_steps_purged_by_a_restart_are_those_that_tensorboard_purges(tmp_path: Path) -> None:
    # What EventAccumulator of TensorBoard 2.21 reads in the same two files.
    steps, _, _ = curves_of(imported(RECORDED / "tensorboardx", tmp_path))
    before = single([1 / (1 + step) for step in range(6)])
    assert steps["loss"] == list(enumerate(before + single([6 + 1 / (1 + step) for step in range(6, 12)])))
    assert [step for step, _ in steps["val_loss"]] == [0, 3, 6, 9]
    assert steps["val_loss"][2][1] == single([6 + 2 / 7])[0]


def test_texts_are_notes_and_what_is_left_out_is_named(tmp_path: Path) -> None:
    notes = [fact for fact in read_log(imported(RECORDED / "tensorboardx", tmp_path)) if isinstance(fact, events.Note)]
    texts = {(note.text, note.step) for note in notes}
    assert ("note: warm *restart*", 2) in texts
    assert ("Not shown: images.", 12) in texts
    assert ("Loss/train is shown as loss.", 12) in texts


@pytest.mark.parametrize("scalar", [simple, tensor])
def test_both_encodings_are_read_alone_and_among_many(scalar: Callable[[str, float], bytes], tmp_path: Path) -> None:
    # Lengths of steps change at 128 and 16,384; a value that is no number stays one.
    wanted = {step: float(step % 7) for step in [*range(300), *range(16300, 16500), 2**40]}
    wanted[5], wanted[6] = float("nan"), float("inf")
    content = [event(step, scalar("a", value), scalar("b", -value)) for step, value in wanted.items()]
    event_files.write(tmp_path / "log", content)
    steps, _, _ = curves_of(imported(tmp_path / "log", tmp_path))
    assert np.array_equal([step for step, _ in steps["a"]], list(wanted))
    assert np.array_equal([value for _, value in steps["a"]], list(wanted.values()), equal_nan=True)
    assert np.array_equal([-value for _, value in steps["b"]], list(wanted.values()), equal_nan=True)


def test_a_restart_without_purge_step_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    # tensorflow/tensorboard#3732: trained to 150, resumed at 100 from a checkpoint, one file each.
    first = [event(step, simple("loss", 1.0)) for step in range(0, 150, 10)]
    event_files.write(tmp_path / "log", first, "events.out.tfevents.1000.host.1.0")
    again = [event(step, simple("loss", 2.0)) for step in range(100, 200, 10)]
    event_files.write(tmp_path / "log", again, "events.out.tfevents.2000.host.2.0")
    steps, _, _ = curves_of(imported(tmp_path / "log", tmp_path))
    assert steps["loss"] == [(step, 1.0 if step < 100 else 2.0) for step in range(0, 200, 10)]


def test_values_without_a_step_leave_the_newest(tmp_path: Path) -> None:
    # `add_scalar` without `global_step`: TensorBoard shows the last one.
    event_files.write(tmp_path / "log", [event(0, simple("loss", float(number))) for number in range(20)])
    steps, _, _ = curves_of(imported(tmp_path / "log", tmp_path))
    assert steps["loss"] == [(0, 19.0)]


def test_directories_of_train_and_test_are_one_run(tmp_path: Path) -> None:
    # TensorFlow's own tutorials write these two, with the epoch as step.
    for name, value in (("train", 1.0), ("test", 2.0)):
        event_files.write(tmp_path / "log" / name, [event(step, tensor("loss", value)) for step in range(3)])
    steps, _, _ = curves_of(imported(tmp_path / "log", tmp_path))
    assert steps == {"loss": [(0, 1.0), (1, 1.0), (2, 1.0)], "val_loss": [(0, 2.0), (1, 2.0), (2, 2.0)]}


def test_directories_below_one_with_events_belong_to_it(tmp_path: Path) -> None:
    # As `SummaryWriter.add_scalars` writes.
    event_files.write(tmp_path / "log", [event(0, simple("loss", 1.0))])
    event_files.write(tmp_path / "log" / "rates_a", [event(0, simple("rates", 3.0))])
    steps, _, _ = curves_of(imported(tmp_path / "log", tmp_path))
    assert steps == {"loss": [(0, 1.0)], "rates_a/rates": [(0, 3.0)]}


def test_each_training_of_a_directory_is_found(tmp_path: Path) -> None:
    for name in ("a", "b/train", "b/validation", "c/deep"):
        event_files.write(tmp_path / "logs" / name, [event(0, simple("loss", 1.0))])
    (tmp_path / "logs" / "a" / "events.out.tfevents.1.host.profile-empty").write_bytes(b"")
    assert [found.name for found in find(tmp_path / "logs")] == ["logs-a", "logs-b", "logs-c-deep"]


def frames_one_by_one(data: bytes) -> list[tuple[int, int]]:
    found, place = [], 0
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        if place + length + 16 > len(data):
            break
        found.append((place + 12, length))
        place += length + 16
    return found


@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 60))
@settings(max_examples=30, deadline=None)
def test_frames_are_found_where_their_lengths_repeat_and_where_not(seed: int, lengths: list[int], cut: int) -> None:
    generator = random.Random(seed)
    many = [*lengths * generator.choice((1, 200, 400)), *(generator.randrange(60) for _ in range(20)), *lengths * 300]
    data = b"".join(map(event_files.record, map(bytes, many)))
    data = data[: len(data) - cut]
    found = records.frames(data)
    assert list(zip(found.starts.tolist(), found.lengths.tolist(), strict=True)) == frames_one_by_one(data)
    assert not found.is_damaged


def test_a_damaged_length_ends_a_file_and_is_named(tmp_path: Path) -> None:
    path = event_files.write(tmp_path / "log", [event(step, simple("loss", 1.0)) for step in range(1000)])
    data = bytearray(path.read_bytes())
    place = records.frames(bytes(data)).starts[601] - records.HEADER_BYTES
    data[place] ^= 0x10
    path.write_bytes(data)
    run = imported(tmp_path / "log", tmp_path)
    steps, _, _ = curves_of(run)
    assert len(steps["loss"]) == 600
    notes = [fact.text for fact in read_log(run) if isinstance(fact, events.Note)]
    assert notes == [f"{path}: damaged at byte {place:,}: what follows is not read"]


@pytest.mark.parametrize("place", ["tag", "step"])
def test_a_damaged_record_is_left_out_and_named(place: str, tmp_path: Path) -> None:
    path = event_files.write(tmp_path / "log", [event(1000 + step, simple("loss", 1.0)) for step in range(1000)])
    data = bytearray(path.read_bytes())
    start = int(records.frames(bytes(data)).starts[501])
    # Of the step the high bits: it would seem to go back, and take the place of nearly all.
    data[start + (11 if place == "step" else 19)] ^= 0x0F
    path.write_bytes(data)
    run = imported(tmp_path / "log", tmp_path)
    steps, _, _ = curves_of(run)
    assert list(steps) == ["loss"]
    assert [step for step, _ in steps["loss"]] == [step for step in range(1000, 2000) if step != 1500]
    notes = [fact.text for fact in read_log(run) if isinstance(fact, events.Note)]
    assert notes == [f"{path}: 1 record damaged and left out"]


@given(
    st.sampled_from(["keras/train", "keras_batches/train", "tensorboardx"]),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=3),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_ends_the_reading(tmp_path: Path, name: str, share: float, flips: list[tuple[float, int]]) -> None:
    shutil.rmtree(tmp_path / "train", ignore_errors=True)
    for path in (RECORDED / name).iterdir():
        data = bytearray(path.read_bytes())
        for place, bits in flips:
            data[int(place * len(data))] ^= bits
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / "train" / path.name).write_bytes(data[: round(share * len(data))])
    log = log_of(tmp_path / "train")
    if not log.is_empty:
        curves_of(imported(tmp_path / "train", tmp_path))


@example("tensorboardx", [0.0625])  # The first file goes on behind the one of the restart.
@given(st.sampled_from(["keras", "keras_batches", "tensorboardx"]), st.lists(st.floats(0, 1), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_log_that_is_followed_adds_up_to_what_is_imported_at_once(
    tmp_path: Path, name: str, shares: list[float]
) -> None:
    shutil.rmtree(tmp_path / name, ignore_errors=True)
    files = sorted(path for path in (RECORDED / name).rglob("*tfevents*"))
    copies = [tmp_path / name / path.relative_to(RECORDED / name) for path in files]
    followed = None
    for share in [*sorted(shares), 1.0]:
        for path, copy in zip(files, copies, strict=True):
            copy.parent.mkdir(parents=True, exist_ok=True)
            data = path.read_bytes()
            have = copy.stat().st_size if copy.exists() else 0
            append(copy, data[have : max(have, round(share * len(data)))])
        if followed is None and not log_of(tmp_path / name).is_empty:
            followed = Followed(find_one(tmp_path / name, "tuimon watch"))
        elif followed is not None:
            followed.look()
    assert followed is not None
    followed.look()
    assert curves_of(followed.run) == curves_of(imported(RECORDED / name, tmp_path))
    seqs = [fact.seq for fact in read_log(followed.run)]
    assert seqs == list(range(len(seqs)))
    followed.close()
    assert not followed.run.path.exists()


def test_new_files_and_torn_records_are_taken_once_they_are_whole(tmp_path: Path) -> None:
    path = event_files.write(tmp_path / "log", [event(0, simple("loss", 1.0))])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    written = event(1, simple("loss", 2.0))
    append(path, written[:20])
    followed.look()
    assert curves_of(followed.run)[0]["loss"] == [(0, 1.0)]
    append(path, written[20:])
    event_files.write(tmp_path / "log", [event(2, simple("loss", 3.0))], "events.out.tfevents.2000.host.2.0.v2")
    followed.look()
    assert curves_of(followed.run)[0]["loss"] == [(0, 1.0), (1, 2.0), (2, 3.0)]
    followed.close()


def test_a_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    event_files.write(tmp_path / "log", [event(step, simple("loss", 1.0)) for step in range(5)])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    event_files.write(tmp_path / "log", [event(step, simple("loss", 2.0)) for step in range(2)])
    followed.look()
    assert curves_of(followed.run)[0]["loss"] == [(0, 2.0), (1, 2.0)]
    followed.close()


def test_a_restart_while_it_is_followed_takes_back_what_was_shown(tmp_path: Path) -> None:
    path = event_files.write(tmp_path / "log", [event(step, simple("loss", 1.0)) for step in range(5)])
    followed = Followed(find_one(tmp_path / "log", "tuimon watch"))
    append(path, starts_at(3) + event(3, simple("loss", 2.0)))
    followed.look()
    assert curves_of(followed.run)[0]["loss"] == [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0)]
    followed.close()
