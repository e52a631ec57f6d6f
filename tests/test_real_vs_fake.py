"""The sample with the CNN: the network of the question, the images, and a short run as a user starts it."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from helpers import ROOT, command, environment, read_log
from tuimon.protocol import events
from tuimon.protocol.wire import from_wire
from tuimon.runs.run_directory import RunDirectory

CONFIG = ROOT / "sample_configs" / "real_vs_fake.toml"
SHORT = ("data.arguments.images=400", "training.epochs=2")


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Return the sample's module, with a cache directory of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(CONFIG.parent))
    return importlib.import_module("real_vs_fake")


@pytest.fixture
def channels_first() -> Iterator[None]:
    """Keras is set to channels_first, as in a user's keras.json."""
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(before)


def files(directory: Path) -> dict[str, bytes]:
    """Return what is in a directory, by relative path."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def described(layer: object) -> tuple[object, ...]:
    """Return the class of a layer and what the question says of it."""
    told = ("filters", "kernel_size", "pool_size", "rate", "units", "momentum", "axis")
    return type(layer).__name__, *(getattr(layer, name) for name in told if hasattr(layer, name))


def question(axis: int) -> list[tuple[object, ...]]:
    """Return the layers as the question lists them, BatchNormalization on ``axis`` in the convolutional part."""
    relu, norm = ("ReLU",), ("BatchNormalization", 0.99, axis)
    return [
        *(("Conv2D", 16, (3, 3)), relu, norm, ("Conv2D", 16, (1, 1)), relu, norm),
        *(("MaxPooling2D", (2, 2)), ("Dropout", 0.25)),
        *(("Conv2D", 32, (1, 1)), relu, norm, ("Conv2D", 32, (1, 1)), relu, norm),
        *(("MaxPooling2D", (2, 2)), ("Dropout", 0.25)),
        *(("Flatten",), ("Dense", 64), relu, ("BatchNormalization", 0.99, -1), ("Dropout", 0.5), ("Dense", 2)),
    ]


def test_the_network_is_that_of_the_question(sample: ModuleType) -> None:
    model = sample.build_model()
    assert [described(layer) for layer in model.layers] == question(axis=-1)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 2)
    assert model.layers[-1].activation.__name__ == "softmax"
    kernels = [layer.kernel_initializer for layer in model.layers if hasattr(layer, "kernel_initializer")]
    assert {type(kernel).__name__ for kernel in kernels} == {"GlorotUniform"}
    channels = [layer.moving_mean.shape for layer in model.layers if hasattr(layer, "moving_mean")]
    assert channels == [(16,), (16,), (32,), (32,), (64,)]


@pytest.mark.full
def test_channels_first_trains_with_statistics_of_channels(sample: ModuleType, channels_first: None) -> None:
    model = sample.build_model()
    assert [described(layer) for layer in model.layers] == question(axis=1)
    assert model.input_shape == (None, 3, 64, 64)
    data = sample.load_images(images=20, batch_size=8)
    images, kinds = next(iter(data["x"]))
    assert images.shape == (8, 3, 64, 64)
    # XLA, without which TensorFlow has these convolutions on a CPU only with oneDNN.
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=True)
    model.fit(images, kinds, batch_size=8, verbose=0)
    channels = [layer.moving_mean for layer in model.layers if hasattr(layer, "moving_mean")]
    assert [mean.shape for mean in channels] == [(16,), (16,), (32,), (32,), (64,)]
    assert all(abs(mean.numpy()).max() > 0 for mean in channels)


def test_channels_first_gives_what_channels_last_gives(sample: ModuleType) -> None:
    """The same weights, the same image: so no axis is mixed up, in Flatten neither."""
    import numpy as np

    last, first = (sample.build_model(data_format=f"channels_{where}") for where in ("last", "first"))
    first.set_weights(last.get_weights())
    first.compile(jit_compile=True)
    images = np.random.default_rng(0).random((4, 64, 64, 3), dtype=np.float32)
    expected = last.predict(images, verbose=0)
    assert first.predict(np.moveaxis(images, -1, 1), verbose=0) == pytest.approx(expected, abs=1e-5)


def test_images_are_made_once_and_the_same_ones_again(
    sample: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = sample.image_directory(images=40, seed=3)
    assert directory.parent == tmp_path / "cache" / "tuimon" / "real_vs_fake"
    assert "making images: 40/40" in capfd.readouterr().out
    made = files(directory)
    expected = {("train", 8): 8, ("validation", 2): 2}
    for source in ("a", "b"):
        for split, count in expected:
            for kind in ("real", "fake"):
                folder = {f"{source}/{split}/{kind}/{number:05}.jpg" for number in range(count)}
                assert folder == {path for path in made if path.startswith(f"{source}/{split}/{kind}/")}
    assert len(made) == 40
    assert len(set(made.values())) == 40

    with monkeypatch.context() as patch:
        patch.setattr(sample, "make_images", lambda *_, **__: pytest.fail("made again"))
        assert sample.image_directory(images=40, seed=3) == directory

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    again = sample.image_directory(images=40, seed=3)
    assert again != directory
    assert files(again) == made
    assert not set(files(sample.image_directory(images=40, seed=4)).values()) & set(made.values())


def test_a_number_of_images_that_cannot_be_shared_out_is_refused(sample: ModuleType) -> None:
    with pytest.raises(ValueError, match="multiple of 20, not 50"):
        sample.image_directory(images=50, seed=2)


def test_making_images_that_is_interrupted_leaves_nothing(
    sample: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C in the middle: no directory under the right name, nor any other; the next call makes all of them."""
    maker = sys.modules["make_real_vs_fake"]
    whole = maker.make_chunk

    def make_chunk(folder: Path, *arguments: object) -> int:
        if folder.parts[-3:] == ("b", "train", "fake"):
            raise KeyboardInterrupt
        return whole(folder, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(maker, "make_chunk", make_chunk)
        with pytest.raises(KeyboardInterrupt):
            sample.image_directory(images=40, seed=3)
    assert list((tmp_path / "cache" / "tuimon" / "real_vs_fake").iterdir()) == []
    assert len(files(sample.image_directory(images=40, seed=3))) == 40


def test_two_runs_that_make_the_same_images_at_once_both_get_them(
    sample: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sample.make_images

    def overtaken(directory: Path, **arguments: int) -> None:
        whole(directory, **arguments)
        with monkeypatch.context() as patch:
            patch.setattr(sample, "make_images", whole)
            sample.image_directory(**arguments)

    monkeypatch.setattr(sample, "make_images", overtaken)
    directory = sample.image_directory(images=40, seed=3)
    assert len(files(directory)) == 40
    assert list(directory.parent.iterdir()) == [directory]


def test_both_sources_and_kinds_are_mixed_and_scaled(sample: ModuleType) -> None:
    import numpy as np
    import tensorflow as tf

    directory = sample.image_directory(images=400, seed=2)
    origins = {}
    for path in directory.rglob("*.jpg"):
        source, split, kind, _ = path.relative_to(directory).parts
        origins[tf.io.decode_image(path.read_bytes()).numpy().tobytes()] = source, split, ("real", "fake").index(kind)

    def read(data: tf.data.Dataset) -> list[tuple[str, str, int]]:
        """Return source, split and kind of all images of a data set, in its order, and check its classes."""
        images, kinds = (np.concatenate(parts) for parts in zip(*data.as_numpy_iterator(), strict=True))
        found = [origins[np.rint(image * 255).astype(np.uint8).tobytes()] for image in images]
        assert [kind for _, _, kind in found] == kinds.tolist()
        return found

    def share(found: list[tuple[str, str, int]], column: int, value: object) -> float:
        return sum(image[column] == value for image in found) / len(found)

    data = sample.load_images(images=400, batch_size=32)
    assert [len(data["x"]), len(data["validation_data"])] == [10, 3]
    train, validation = read(data["x"]), read(data["validation_data"])
    assert [len(train), share(train, 1, "train"), share(train, 0, "a"), share(train, 2, 1)] == [320, 1, 0.5, 0.5]
    assert [len(validation), share(validation, 1, "validation"), share(validation, 0, "a")] == [80, 1, 0.5]
    assert 0.3 < share(train[:160], 0, "a") < 0.7
    assert 0.3 < share(train[:160], 2, 1) < 0.7
    assert 0.2 < share(validation[:40], 0, "a") < 0.8
    assert 0.2 < share(validation[:40], 2, 1) < 0.8
    assert read(data["x"]) != train  # Another order in each epoch,
    assert read(data["validation_data"]) == validation  # but validation is always the same.


def test_the_short_variant_trains(runs: Path, tmp_path: Path) -> None:
    settings = [part for setting in SHORT for part in ("--set", setting)]
    done = subprocess.run(
        command("run", CONFIG, "--headless", "--runs-dir", runs, *settings),
        env=environment(XDG_CACHE_HOME=str(tmp_path / "cache")),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "making images: 400/400" in done.stdout
    assert len(list((tmp_path / "cache").rglob("*.jpg"))) == 400
    (run,) = (RunDirectory(path) for path in runs.iterdir())
    log = read_log(run)
    ended = [event for event in log if isinstance(event, events.EpochEnded)]
    assert [event.step for event in ended] == [10, 20]
    assert all(0 < from_wire(event.logs["val_loss"]) < 10 for event in ended)
    assert all(event.logs.keys() >= {"loss", "accuracy", "val_loss", "val_accuracy"} for event in ended)
    (built,) = (event for event in log if isinstance(event, events.ModelBuilt))
    assert [layer.path.rpartition("/")[2] for layer in built.batch_norm_layers] == [
        "bn_1",
        "bn_2",
        "bn_3",
        "bn_4",
        "bn_dense",
    ]
    assert log[-1].status == "finished"
