"""Full states on disk: what is put back is what was there, and what is no checkpoint changes nothing."""

import io
import os
import re
import resource
import shutil
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf

import tuimon
from helpers import selected
from trainer import keras_models
from trainer.inside import with_options
from trainer.keras_models import STEPS, Ask, compiled, facts, facts_of, same_weights, sequential
from tuimon.protocol import commands, events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer import checkpoints as checkpoint_files
from tuimon.trainer.checkpoints import Checkpoint, CheckpointError, Checkpoints, Meta
from tuimon.trainer.engine import Arrays
from tuimon.trainer.keras import full_state, job
from tuimon.trainer.modes import Mode
from tuimon.trainer.options import Options

# No test here looks at a validation, which would be traced each time.
fit = partial(keras_models.fit, validation_data=None)
META = Meta(step=7, epoch=1, epoch_first_step=5)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


@pytest.fixture
def saved(tmp_path: Path, checkpoints: Checkpoints) -> Path:
    """Return the file of a checkpoint of two variables."""
    arrays = {"model/0/kernel": np.arange(12.0, dtype=np.float32).reshape(3, 4), "model/1/count": np.array(3, "int32")}
    meta = msgspec.structs.replace(META, dtypes={"model/0/kernel": "float32", "model/1/count": "int32"})
    return tmp_path / "checkpoints" / checkpoints.save(arrays, meta, "asked").name


def with_policy(policy: str, optimizer: Callable[[], Any]) -> Callable[[], keras.Model]:
    def new() -> keras.Model:
        # As in a new process: names that Keras numbers begin anew.
        keras.backend.clear_session()
        former = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return compiled(sequential(dropout=0.5), optimizer())
        finally:
            keras.config.set_dtype_policy(former)

    return new


def scheduled() -> Any:
    return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.8), momentum=0.9)


KINDS = {
    "adam": with_policy("float32", lambda: keras.optimizers.Adam(0.01)),
    "averages of the weights": with_policy("float32", lambda: keras.optimizers.AdamW(0.01, use_ema=True)),
    "schedule": with_policy("float32", scheduled),
    "loss scale": with_policy("mixed_float16", lambda: keras.optimizers.LossScaleOptimizer(scheduled())),
    "mixed bfloat16": with_policy("mixed_bfloat16", lambda: keras.optimizers.Adam(0.01)),
    "bfloat16": with_policy("bfloat16", lambda: keras.optimizers.Adam(0.01)),
}


def state_of(model: keras.Model) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in full_state.capture(model).items()}


def save(checkpoints: Checkpoints, model: keras.Model) -> str:
    meta = msgspec.structs.replace(META, dtypes=full_state.dtypes(model))
    return checkpoints.save(full_state.capture(model), meta, "asked").name


@pytest.mark.parametrize("name", selected(KINDS, "adam", "averages of the weights", "loss scale"))
def test_another_model_goes_on_from_it_bit_for_bit(checkpoints: Checkpoints, name: str) -> None:
    new = KINDS[name]
    model = new()
    fit(model, 2)
    saved = save(checkpoints, model)
    before = state_of(model)
    assert {key.partition("/")[0] for key in before} >= {"model", "optimizer", "seed"}
    fit(model, 4, initial_epoch=2)
    assert state_of(model) != before

    again = new()
    read = checkpoints.load(saved)
    full_state.restore(again, read.arrays, read.meta.dtypes)
    assert state_of(again) == before
    fit(again, 4, initial_epoch=2)
    assert same_weights(again, model)
    assert state_of(again) == state_of(model)


def test_numbers_drawn_without_a_seed_of_their_own_are_drawn_again(checkpoints: Checkpoints) -> None:
    model = KINDS["adam"]()
    keras.random.normal((2,))
    name = save(checkpoints, model)
    first = np.array(keras.random.normal((2,)))
    full_state.restore(model, checkpoints.load(name).arrays)
    assert np.array_equal(np.array(keras.random.normal((2,))), first)


def test_what_it_says_beside_the_variables_is_read_again(checkpoints: Checkpoints) -> None:
    mode = Mode(frozenset({"a/bn"}), frozenset({"b"}), "inference", frozenset({("c", 0.9)}), own_learning_rate=True)
    meta = Meta(step=7, epoch=1, epoch_first_step=5, branch=2, mode=mode, learning_rate=0.25, dtypes={"x": "float32"})
    fact = checkpoints.save({"x": np.zeros(3, np.float32)}, meta, "training was stopped")
    read = checkpoints.load(fact.name)
    assert read.meta.time > 0
    assert msgspec.structs.replace(read.meta, time=0.0) == msgspec.structs.replace(meta, reason="training was stopped")
    assert (read.meta.next_epoch, read.meta.repeated_steps) == (1, 2)
    ended = msgspec.structs.replace(meta, at_epoch_end=True)
    assert (ended.next_epoch, ended.repeated_steps) == (2, 0)
    assert (fact.reason, fact.seconds >= 0) == ("training was stopped", True)


def test_it_is_its_owners_alone(saved: Path) -> None:
    assert saved.stat().st_mode & 0o777 == 0o600
    assert saved.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in saved.parent.iterdir()] == ["step-00000007.npz"]


def test_they_are_saved_and_found_where_the_run_is_renamed_to(tmp_path: Path) -> None:
    run = RunDirectory.at(tmp_path / "run")
    checkpoints = Checkpoints(run.checkpoints)
    names = [checkpoints.save({}, META, "asked").name]
    moved = RunDirectory(run.path.rename(tmp_path / "other name"))
    names.append(checkpoints.save({}, META, "asked").name)
    assert checkpoints.names() == Checkpoints(moved.checkpoints).names() == names
    assert not run.path.exists()
    shutil.rmtree(moved.path)
    with pytest.raises(FileNotFoundError):
        checkpoints.save({}, META, "asked")


def refused(checkpoints: Checkpoints, name: str) -> str:
    with pytest.raises(CheckpointError) as info:
        checkpoints.load(name)
    text = str(info.value)
    assert text.isprintable(), "one line that a terminal cannot obey"
    assert len(text) < 300
    return text


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_one_is_refused(checkpoints: Checkpoints, saved: Path, share: float) -> None:
    os.truncate(saved, int(saved.stat().st_size * share))
    assert refused(checkpoints, saved.name).startswith("checkpoint step-00000007.npz cannot be read: ")


def test_a_damaged_one_is_refused_or_says_the_same(checkpoints: Checkpoints, saved: Path) -> None:
    whole, data = checkpoints.load(saved.name), saved.read_bytes()
    refusals = 0
    for place in range(len(data)):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :])
        try:
            read = checkpoints.load(saved.name)
        except CheckpointError:
            refusals += 1
        else:
            # A date in the archive, say.
            assert read.meta == whole.meta
            assert {key: array.tobytes() for key, array in read.arrays.items()} == {
                key: array.tobytes() for key, array in whole.arrays.items()
            }
    assert refusals > len(data) / 2


def archive_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name, data in members.items():
            opened.writestr(name.replace("__", "."), data)
    return file.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


_META = b'{"step":1,"epoch":0,"epoch_first_step":0}'
_HUGE = npy(np.zeros(3)).replace(b"(3,), }" + b" " * 15, b"(9999999999999,), }   ")
FOREIGN = {
    "empty": b"",
    "text": b"\x1b[31mnot a checkpoint\n" * 9,
    "of NumPy": npz(a=np.zeros(3)),
    "no names": archive_of(meta__json=_META),
    "no array": archive_of(meta__json=_META, names__json=b'["x"]'),
    "an object": archive_of(
        meta__json=_META, names__json=b'["x"]', **{"000000__npy": npy(np.array([{}]), allow_pickle=True)}
    ),
    "more than there is": archive_of(meta__json=_META, names__json=b'["x"]', **{"000000__npy": _HUGE}),
    "other fields": archive_of(meta__json=b'{"step":"one"}', names__json=b"[]"),
    "no JSON": archive_of(meta__json=b"\x1b[2J\nx", names__json=b"[]"),
    "of a later version": archive_of(meta__json=_META[:-1] + b',"version":3}', names__json=b"[]"),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_file_is_refused(checkpoints: Checkpoints, saved: Path, data: bytes) -> None:
    saved.write_bytes(data)
    assert refused(checkpoints, saved.name).startswith("checkpoint step-00000007.npz cannot be read: ")
    newest, wrong = checkpoints.newest()
    assert newest is None
    assert len(wrong) == 1


NAMES = ["../../etc/passwd", "/etc/passwd", "..", "", "step-\x1b[31m.npz", "step-1.npz\n", "\0", "x" * 100_000]


@pytest.mark.parametrize("name", NAMES, ids=[repr(name)[:20] for name in NAMES])
def test_a_name_of_none_is_refused(checkpoints: Checkpoints, saved: Path, name: str) -> None:
    text = refused(checkpoints, name)
    assert text.startswith("no checkpoint ")
    assert text.endswith("; there are step-00000007.npz")


def test_what_is_no_file_of_ours_is_none(checkpoints: Checkpoints, saved: Path) -> None:
    """Neither followed, nor waited for, nor removed to make room."""
    directory = saved.parent
    shutil.copy(saved, directory.parent / "elsewhere.npz")
    (directory / "step-00000008.npz").symlink_to(directory.parent / "elsewhere.npz")
    (directory / "step-00000009.npz").symlink_to(directory / "nowhere")
    (directory / "step-00000010.npz").mkdir()
    os.mkfifo(directory / "step-00000011.npz")
    (directory / "step-\x1b[31m.npz").write_bytes(saved.read_bytes())
    (directory / ".saving-1").write_bytes(b"")
    strangers = set(directory.iterdir()) - {directory / ".saving-1"}
    assert checkpoints.names() == [saved.name]
    for number in range(8, 12):
        assert refused(checkpoints, f"step-{number:08}.npz").startswith("no checkpoint 'step-")
    newest, wrong = checkpoints.newest()
    assert newest is not None
    assert (newest.name, wrong) == (saved.name, [])
    names = [checkpoints.save({}, META, "asked").name for _ in range(4)]
    assert checkpoints.names() == names[-3:]
    assert set(directory.iterdir()) == strangers - {saved} | {directory / name for name in names[-3:]}


def small(units: int = 3, optimizer: str = "adam", dtype: str = "float32") -> keras.Model:
    keras.backend.clear_session()
    dense = keras.layers.Dense(units, name="dense", dtype=dtype)
    return compiled(keras.Sequential([keras.Input((2,)), dense, keras.layers.Dropout(0.5)], name="m"), optimizer)


OTHERS = {
    "shapes": (lambda: small(4), "of another model: model/0/m/dense/kernel is float32[2, 4] there, float32[2, 3] here"),
    "numbers": (lambda: small(dtype="bfloat16"), "model/0/m/dense/kernel is bfloat16[2, 3] there, float32[2, 3] here"),
    "optimizer": (
        lambda: small(optimizer="sgd"),
        "of another model or optimizer: only this model has optimizer/0/adam/iteration",
    ),
    "layers": (
        lambda: compiled(sequential()),
        "of another model or optimizer: only this model has model/0/m/dense/kernel",
    ),
}


@pytest.mark.parametrize(("other", "says"), OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_another_model_is_refused(
    checkpoints: Checkpoints, other: Callable[[], keras.Model], says: str
) -> None:
    read = checkpoints.load(save(checkpoints, other()))
    model = small()
    before = state_of(model)
    with pytest.raises(CheckpointError) as info:
        full_state.restore(model, read.arrays, read.meta.dtypes)
    assert says in str(info.value)
    assert str(info.value).isprintable()
    assert state_of(model) == before


@pytest.mark.parametrize("name", ["optimizer/5/", "seed of keras.random", "model/1/"])
@pytest.mark.parametrize(
    "stranger", [np.zeros((3,), np.float64), np.zeros((3,), ">f4"), np.zeros((3,), np.int8), np.zeros((7,), np.uint32)]
)
def test_a_variable_that_does_not_fit_leaves_the_model_as_it_was(name: str, stranger: np.ndarray) -> None:
    model = small()
    keras.random.normal((1,))
    arrays = {key: array + 1 for key, array in full_state.capture(model).items()}
    (key,) = (key for key in arrays if key.startswith(name))
    arrays[key] = stranger
    before = state_of(model)
    with pytest.raises(CheckpointError) as info:
        full_state.restore(model, arrays, full_state.dtypes(model))
    assert key in str(info.value)
    assert state_of(model) == before


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", kept=2)
    names = []
    for step in (99_999_999, 100_000_000, 100_000_001, 100_000_001, 100_000_001, 100_000_001):
        names.append(checkpoints.save({}, msgspec.structs.replace(META, step=step), "asked").name)
        assert checkpoints.names() == names[-2:]
    newest, _ = checkpoints.newest()
    assert newest is not None
    assert newest.name == names[-1]


def test_the_newest_is_known_where_a_copy_of_the_run_has_lost_the_times(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    names = [checkpoints.save({}, msgspec.structs.replace(META, step=step), "asked").name for step in (5, 10, 10)]
    for number, name in enumerate(names):
        os.utime(tmp_path / "checkpoints" / name, (1000 - number, 1000 - number))
    assert checkpoints.names() == names


@pytest.fixture
def files_of_4_kb() -> Iterator[None]:
    """Have the system refuse whatever makes a file larger, as a full quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("numbers", [900, 100_000])
def test_a_disk_that_is_full_meanwhile_leaves_nothing_of_it(
    checkpoints: Checkpoints, saved: Path, numbers: int, request: pytest.FixtureRequest
) -> None:
    arrays: Arrays = {"x": np.zeros(numbers, np.float32), "y": np.zeros(numbers, np.float32)}
    request.getfixturevalue("files_of_4_kb")
    with pytest.raises(OSError, match="File too large"):
        checkpoints.save(arrays, META, "asked")
    assert list(saved.parent.iterdir()) == [saved]
    assert checkpoints.load(saved.name).arrays


def test_a_checkpoint_that_finds_no_room_is_told_and_training_goes_on(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_files, "MARGIN_BYTES", 2**62)
    plain, model = compiled(sequential()), compiled(sequential())
    monitor = with_options(tuimon.Monitor(runs_dir=runs), Options(checkpoint_minutes=1e-9))
    fit(model, 3, [Ask(monitor, {1: [commands.Checkpoint()]}), monitor])
    fit(plain, 3)
    assert same_weights(model, plain)
    (rejected,) = facts_of(monitor, events.CommandRejected)
    notes = facts_of(monitor, events.Note)
    assert len(notes) == 3, "one for each epoch"
    for text in (rejected.reason, *(note.text for note in notes)):
        assert text.startswith("the checkpoint could not be saved: it takes ")
        assert re.search(
            r": it takes [\d.]+ (kB|bytes), .* stay free for the log, and the disk has \d+ [GT]B left$", text
        )
    assert not facts_of(monitor, events.CheckpointSaved)
    assert facts_of(monitor, events.RunEnded)[0].status == "finished"
    assert list(RunDirectory(monitor.run_dir).checkpoints.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_and_training_goes_on(runs: Path) -> None:
    monitor = tuimon.Monitor(runs / "run")
    (runs / "run").mkdir()
    (runs / "run" / "checkpoints").write_text("in the way")
    fit(compiled(sequential()), 3, [Ask(monitor, {1: [commands.Checkpoint(), commands.Rollback()]}), monitor])
    reasons = [fact.reason for fact in facts_of(monitor, events.CommandRejected)]
    assert reasons[0].startswith("the checkpoint could not be saved: ")
    assert reasons[1] == "this run has no checkpoint"
    assert facts_of(monitor, events.RunEnded)[0].status == "finished"


def test_a_state_that_cannot_be_read_is_told_and_training_goes_on(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a large model may not fit into memory."""

    def capture(model: keras.Model) -> Arrays:
        raise MemoryError("Unable to allocate 40 GiB")

    monkeypatch.setattr(full_state, "capture", capture)
    monitor = with_options(tuimon.Monitor(runs_dir=runs), Options(checkpoint_minutes=1e-9))
    fit(compiled(sequential()), 2, [Ask(monitor, {1: [commands.Checkpoint()]}), monitor])
    said = [fact.text for fact in facts_of(monitor, events.Note)] + [
        fact.reason for fact in facts_of(monitor, events.CommandRejected)
    ]
    assert said == ["the checkpoint could not be saved: Unable to allocate 40 GiB"] * 3
    assert facts_of(monitor, events.EpochEnded)[-1].step == 2 * STEPS


def test_a_model_without_variables_is_not_saved_and_training_goes_on(runs: Path) -> None:
    """Its optimizer must not be built before them: the first step would end training."""
    model = compiled(keras.Sequential([keras.layers.Dense(1)]))
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(model, 2, [Ask(monitor, {0: [commands.Checkpoint()], 1: [commands.Checkpoint()]}), monitor])
    (rejected,) = facts_of(monitor, events.CommandRejected)
    assert rejected.reason == "the checkpoint could not be saved: the model has no variables before its first batch"
    assert len(facts_of(monitor, events.CheckpointSaved)) == 1
    assert facts_of(monitor, events.RunEnded)[0].status == "finished"


def loaded(monitor: tuimon.Monitor) -> Checkpoint:
    assert monitor.run_dir is not None
    newest, wrong = Checkpoints(RunDirectory(monitor.run_dir).checkpoints).newest()
    assert wrong == []
    assert newest is not None
    return newest


def test_at_the_end_of_epochs_one_is_made_each_time_its_minutes_are_over(runs: Path) -> None:
    monitor = with_options(tuimon.Monitor(runs_dir=runs), Options(checkpoint_minutes=1e-9, checkpoints_kept=2))
    fit(compiled(sequential()), 4, [monitor])
    saved = facts_of(monitor, events.CheckpointSaved)
    assert [(fact.step, fact.reason) for fact in saved] == [(STEPS * n, "1e-09 minutes") for n in range(1, 5)]
    assert Checkpoints(RunDirectory(monitor.run_dir).checkpoints).names() == [fact.name for fact in saved[-2:]]
    meta = loaded(monitor).meta
    assert (meta.step, meta.next_epoch, meta.repeated_steps) == (4 * STEPS, 4, 0)
    monitor = with_options(tuimon.Monitor(runs_dir=runs), Options(checkpoint_minutes=60))
    fit(compiled(sequential()), 2, [monitor])
    assert not facts_of(monitor, events.CheckpointSaved)


class StopAt(Ask):
    """Asks to stop before a batch of the second epoch."""

    def __init__(self, monitor: tuimon.Monitor, batch: int) -> None:
        super().__init__(monitor, {})
        self.batch, self.epoch = batch, 0
        self.left: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if (self.epoch, batch) == (1, self.batch):
            self.ask(commands.Stop())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.left = self.model.get_weights()


@pytest.mark.parametrize(("batch", "next_epoch", "repeated"), [(2, 1, 3), (STEPS - 1, 2, 0)])
def test_when_training_is_stopped_one_is_made_of_what_the_last_step_left(
    runs: Path, batch: int, next_epoch: int, repeated: int
) -> None:
    """And not of what `fit` or a callback makes of the weights at its end."""
    monitor = with_options(tuimon.Monitor(runs_dir=runs), Options(checkpoint_minutes=60, checkpoint_at_stop=True))
    stop = StopAt(monitor, batch)
    best = keras.callbacks.EarlyStopping(monitor="loss", mode="max", restore_best_weights=True)
    model = compiled(sequential(), keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5))
    fit(model, 4, [best, stop, monitor])
    (saved,) = facts_of(monitor, events.CheckpointSaved)
    assert (saved.step, saved.reason) == (STEPS + batch + 1, "training was stopped")
    read = loaded(monitor)
    assert (read.meta.next_epoch, read.meta.repeated_steps) == (next_epoch, repeated)
    weights = [array for key, array in read.arrays.items() if key.startswith("model/")]
    assert not all(np.array_equal(a, b) for a, b in zip(stop.left, model.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(stop.left, weights, strict=True))


def test_without_checkpoints_of_its_own_a_stopped_run_leaves_none(runs: Path) -> None:
    monitor = tuimon.Monitor(runs_dir=runs)
    fit(compiled(sequential()), 4, [StopAt(monitor, 2), monitor])
    assert not [fact for fact in facts(monitor) if isinstance(fact, events.CheckpointSaved)]


class Pairs(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)


def unbuilt() -> keras.Model:
    keras.backend.clear_session()
    layers = [keras.layers.Dense(2), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    return compiled(keras.Sequential(layers))


@pytest.mark.parametrize("kind", ["arrays", "data set", "PyDataset"])
def test_a_model_that_keras_builds_with_the_first_batch_is_built_for_it(checkpoints: Checkpoints, kind: str) -> None:
    x, y = np.zeros((8, 3), np.float32), np.zeros((8, 1), np.float32)
    data: dict[str, Any] = {"arrays": {"x": x, "y": y}, "PyDataset": {"x": Pairs()}}.get(kind) or {
        "x": tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    }
    model = unbuilt()
    model.fit(**data, shuffle=False, verbose=0)
    read, again = checkpoints.load(save(checkpoints, model)), unbuilt()
    job._build(again, data)
    full_state.restore(again, read.arrays, read.meta.dtypes)
    assert state_of(again) == state_of(model)


def test_of_a_generator_no_batch_is_taken_for_it() -> None:
    generator = iter([(np.zeros((4, 3)), np.zeros((4, 1)))])
    with pytest.raises(ValueError, match="give it an Input"):
        job._build(unbuilt(), {"x": generator})
    assert next(generator)
