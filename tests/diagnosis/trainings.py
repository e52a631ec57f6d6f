"""Small models that are trained for real, in good health or with a fault, each with the log it leaves.

Each function of ``FAULTS`` and ``HEALTHY`` trains one and returns its facts. Nothing of the logs is made up.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import tuimon
from helpers import script
from trainer.keras_models import Ask, facts
from tuimon.protocol import commands, events
from tuimon.runs.log.session_log import Tail

Facts = list[events.AnyEvent]
Training = Callable[[Path], Facts]
FAULTS: dict[str, tuple[str, Training]] = {}
"""By name: the rule that has to fire, alone, and the training."""
HEALTHY: dict[str, Training] = {}
"""By name."""
NOTES: dict[str, tuple[str, Training]] = {}
"""By name: the rule that has a note to make, alone, and the training."""


def fault(rule: str) -> Callable[[Training], Training]:
    def register(training: Training) -> Training:
        FAULTS[training.__name__] = rule, training
        return training

    return register


def note(rule: str) -> Callable[[Training], Training]:
    def register(training: Training) -> Training:
        NOTES[training.__name__] = rule, training
        return training

    return register


def healthy(training: Training) -> Training:
    HEALTHY[training.__name__] = training
    return training


def train(model: keras.Model, runs: Path, data: dict[str, Any], *, epochs: int, **options: Any) -> Facts:
    """Fit a compiled model under a Monitor and return what its log says."""
    monitor_options = {"overhead": 0.5, **options.pop("monitor", {})}
    callbacks = options.pop("callbacks", [])
    monitor = tuimon.Monitor(runs_dir=runs, name="training", **monitor_options)
    model.fit(**data, epochs=epochs, callbacks=[*callbacks, monitor], verbose=0, **options)
    return facts(monitor)


# --- Data and models ------------------------------------------------------------------------------------------------


def blobs(samples: int = 512, *, features: int = 8, noise: float = 1.0, seed: int = 0) -> dict[str, Any]:
    """Two classes that a plane tells apart, but for some noise."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(samples + 256, features)).astype(np.float32)
    score = x @ np.linspace(-1, 1, features) + noise * generator.normal(size=len(x)) * 0.5
    y = (score > 0).astype(np.float32)[:, None]
    return {"x": x[:samples], "y": y[:samples], "validation_data": (x[samples:], y[samples:]), "batch_size": 32}


def pictures(samples: int = 256, *, size: int = 8, seed: int = 0) -> dict[str, Any]:
    """Stripes, across or along, in noise."""
    generator = np.random.default_rng(seed)
    y = generator.integers(0, 2, samples + 128)
    stripes = np.where(np.arange(size) % 4 < 2, 1.0, -1.0)
    patterns = np.stack([np.tile(stripes, (size, 1)), np.tile(stripes[:, None], (1, size))])
    x = (0.5 * patterns[y] + generator.normal(size=(len(y), size, size)))[..., None].astype(np.float32)
    return {"x": x[:samples], "y": y[:samples], "validation_data": (x[samples:], y[samples:]), "batch_size": 32}


def line(samples: int = 512, *, noise: float = 0.3, seed: int = 0, validation: int = 256) -> dict[str, Any]:
    """A smooth function of four numbers."""
    generator = np.random.default_rng(seed)
    x = generator.uniform(-2, 2, (samples + validation, 4)).astype(np.float32)
    y = np.sin(x[:, :1]) + x[:, 1:2] * x[:, 2:3] + noise * generator.normal(size=(len(x), 1))
    y = y.astype(np.float32)
    return {"x": x[:samples], "y": y[:samples], "validation_data": (x[samples:], y[samples:]), "batch_size": 32}


def mlp(features: int = 8, *, units: int = 16, dropout: float = 0.0, classifier: bool = True, **norm: Any) -> Any:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((features,))], name="mlp")
    for number in (1, 2):
        model.add(layers.Dense(units, name=f"dense_{number}"))
        model.add(layers.BatchNormalization(name=f"bn_{number}", **norm))
        model.add(layers.ReLU(name=f"relu_{number}"))
        if dropout:
            model.add(layers.Dropout(dropout, name=f"dropout_{number}"))
    model.add(layers.Dense(1, "sigmoid" if classifier else None, name="out"))
    return model


def cnn(*, seed: int) -> keras.Model:
    """For `pictures`."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, name="conv"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(2, "softmax"),
        ]
    )


class AlwaysTraining(keras.Model):
    """Its ``call`` fixes ``training`` for one layer."""

    def __init__(self) -> None:
        super().__init__(name="always")
        self.hidden = layers.Dense(16, name="hidden")
        self.norm = layers.BatchNormalization(name="bn", momentum=0.9)
        self.out = layers.Dense(1, name="out")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.out(keras.ops.relu(self.norm(self.hidden(inputs), training=True)))


def compiled(model: Any, optimizer: Any = "adam", loss: str = "binary_crossentropy", **options: Any) -> Any:
    model.compile(optimizer, loss, **{"jit_compile": False, **options})
    return model


@dataclass
class Every(keras.callbacks.Callback):
    """Calls something at the begin of a batch, counted over all epochs."""

    what: Callable[[Any, int], None]

    def __post_init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.what(self.model, self.count)
        self.count += 1


class UntilSampled(keras.callbacks.Callback):
    """Ends training when the layers have been sampled often enough after a step to tell what moves."""

    def __init__(self, runs: Path, *, after: int = 0, samples: int = 8) -> None:
        super().__init__()
        self.runs, self.after, self.samples = runs, after, samples

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        log = max(self.runs.glob("*/session.jsonl"))
        seen = [fact for fact in Tail(log).read_all() if isinstance(fact, events.BatchNorm) and fact.step > self.after]
        self.model.stop_training = len(seen) >= self.samples


# --- In good health -------------------------------------------------------------------------------------------------


@healthy
def mlp_with_batch_normalization(runs: Path) -> Facts:
    return train(compiled(mlp()), runs, blobs(1024), epochs=20, monitor={"probe_every": 100})


@healthy
def cnn_with_dropout(runs: Path) -> Facts:
    keras.utils.set_random_seed(6)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, name="conv_1"),
            layers.BatchNormalization(name="bn_1"),
            layers.ReLU(),
            layers.MaxPooling2D(),
            layers.Conv2D(12, 2, name="conv_2"),
            layers.BatchNormalization(name="bn_2"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.4),
            layers.Dense(2, "softmax"),
        ]
    )
    compiled(model, loss="sparse_categorical_crossentropy")
    return train(model, runs, pictures(512), epochs=25, monitor={"probe_every": 100})


@healthy
def no_batch_normalization(runs: Path) -> Facts:
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [keras.Input((8,)), layers.Dense(32, "relu"), layers.Dropout(0.3), layers.Dense(1, "sigmoid")]
    )
    return train(compiled(model, keras.optimizers.SGD(0.05)), runs, blobs(), epochs=20, monitor={"probe_every": 100})


def pre_trained_base() -> Any:
    base = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, name="dense"),
            layers.BatchNormalization(name="bn"),
            layers.ReLU(name="relu"),
        ],
        name="base",
    )
    whole = compiled(keras.Sequential([base, layers.Dense(1, "sigmoid")]))
    data = blobs(1024, seed=3)
    whole.fit(data["x"], data["y"], epochs=10, batch_size=32, verbose=0)
    return base


@healthy
def fine_tuning_of_a_frozen_base(runs: Path) -> Facts:
    keras.utils.set_random_seed(8)
    base = pre_trained_base()
    base.trainable = False
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(base(inputs, training=False)))
    return train(compiled(model), runs, blobs(1024, seed=4), epochs=25, monitor={"probe_every": 100})


@healthy
def training_mode_with_large_validation_batches(runs: Path) -> Facts:
    """Batch statistics in validation, too, as some networks mean it: of enough values they are no fault."""
    keras.utils.set_random_seed(29)
    model = compiled(AlwaysTraining(), keras.optimizers.Adam(0.003), "mse")
    return train(model, runs, line(512), epochs=15, monitor={"probe_every": 50})


@healthy
def fine_tuning_on_another_domain(runs: Path) -> Facts:
    """The new data are of twice the scale, and shifted by one standard deviation."""
    keras.utils.set_random_seed(28)
    base = pre_trained_base()
    base.trainable = False
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(base(inputs, training=False)))
    data = blobs(1024, seed=4)
    x, y = data["validation_data"]
    data |= {"x": 2 * data["x"] + 1, "validation_data": (2 * x + 1, y)}
    return train(compiled(model), runs, data, epochs=25, monitor={"probe_every": 100})


@healthy
def fine_tuning_of_a_base_in_inference_mode(runs: Path) -> Facts:
    keras.utils.set_random_seed(9)
    base = pre_trained_base()
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(base(inputs, training=False)))
    return train(compiled(model), runs, blobs(1024, seed=4), epochs=25, monitor={"probe_every": 100})


@healthy
def recurrent_with_layer_normalization(runs: Path) -> Facts:
    keras.utils.set_random_seed(10)
    generator = np.random.default_rng(1)
    x = generator.normal(size=(384, 6, 3)).astype(np.float32)
    y = x[:, -1, :1] + 0.5 * x[:, -2, 1:2]
    model = keras.Sequential([keras.Input((6, 3)), layers.LSTM(12), layers.LayerNormalization(), layers.Dense(1)])
    compiled(model, loss="mse")
    data = {"x": x[:256], "y": y[:256], "validation_data": (x[256:], y[256:]), "batch_size": 32}
    return train(model, runs, data, epochs=20, monitor={"probe_every": 50})


@healthy
def regression_with_a_schedule(runs: Path) -> Facts:
    schedule = keras.optimizers.schedules.CosineDecay(0.01, decay_steps=16 * 30)
    model = compiled(mlp(4, units=24, classifier=False, momentum=0.95), keras.optimizers.Adam(schedule), "mse")
    return train(model, runs, line(), epochs=30, monitor={"probe_every": 60})


@healthy
def validation_on_few_examples(runs: Path) -> Facts:
    data = blobs(512, noise=3.0)
    x, y = data["validation_data"]
    data["validation_data"] = x[:40], y[:40]
    model = compiled(mlp(dropout=0.3, momentum=0.9), keras.optimizers.Adam(0.01))
    return train(model, runs, data, epochs=35, monitor={"probe_every": 100})


@healthy
def siamese(runs: Path) -> Facts:
    """One BatchNormalization for two inputs that are drawn alike."""
    keras.utils.set_random_seed(12)
    generator = np.random.default_rng(2)
    left, right = (generator.normal(size=(512, 6)).astype(np.float32) for _ in range(2))
    y = ((left * right).sum(axis=1, keepdims=True) > 0).astype(np.float32)
    return train(twins(), runs, {"x": [left, right], "y": y, "batch_size": 64}, epochs=40, monitor={"probe_every": 100})


def twins() -> Any:
    inputs = [keras.Input((6,), name=name) for name in ("left", "right")]
    dense, norm = layers.Dense(16, name="dense"), layers.BatchNormalization(name="bn", momentum=0.9)
    arms = [keras.ops.relu(norm(dense(each))) for each in inputs]
    hidden = layers.Dense(16, "relu", name="hidden")(layers.Concatenate()(arms))
    return compiled(keras.Model(inputs, layers.Dense(1, "sigmoid", name="output")(hidden)))


@healthy
def requests_on_the_way(runs: Path) -> Facts:
    """Frozen, thawed, recalibrated: what these do to the statistics is no fault."""
    monitor = tuimon.Monitor(runs_dir=runs, name="training", overhead=0.5, probe_every=40)
    plan: dict[int, list[commands.AnyRequest]] = {
        8: [commands.Freeze()],
        12: [commands.Unfreeze(), commands.Note(text="thawed")],
        16: [commands.Recalibrate(batches=4)],
        20: [commands.Freeze(statistics=True)],
        24: [commands.LearningRate(learning_rate=1e-4)],
    }
    asks = Ask(monitor, plan)
    compiled(mlp(momentum=0.95)).fit(**blobs(512), epochs=30, callbacks=[asks, monitor], verbose=0)
    return facts(monitor)


@healthy
def small_batches_of_pictures(runs: Path) -> Facts:
    """Two examples a batch, but many positions."""
    model = cnn(seed=13)
    compiled(model, keras.optimizers.Adam(0.003), loss="sparse_categorical_crossentropy")
    return train(model, runs, {**pictures(129), "batch_size": 2}, epochs=20, monitor={"probe_every": 200})


@healthy
def stopped_early_with_the_best_weights(runs: Path) -> Facts:
    callbacks = [
        keras.callbacks.EarlyStopping(patience=6, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(patience=3),
    ]
    model = compiled(mlp(dropout=0.2), keras.optimizers.Adam(0.01))
    return train(model, runs, blobs(1024), epochs=60, callbacks=callbacks, monitor={"probe_every": 100})


@healthy
def low_momentum_with_large_batches(runs: Path) -> Facts:
    """Batches of 1,024 examples say enough by themselves."""
    model = compiled(mlp(momentum=0.1), keras.optimizers.Adam(0.005))
    return train(model, runs, {**blobs(4096), "batch_size": 1024}, epochs=40, monitor={"probe_every": 32})


@healthy
def batches_of_a_tf_data_set(runs: Path) -> Facts:
    """Their last batch is smaller, but large enough; and their order is drawn anew in each epoch."""
    data = line(250)
    batches = tf.data.Dataset.from_tensor_slices((data.pop("x"), data.pop("y"))).shuffle(250)
    batches = batches.batch(data.pop("batch_size"))
    model = compiled(mlp(4, classifier=False, momentum=0.9), keras.optimizers.Adam(0.005), "mse")
    return train(model, runs, {"x": batches, **data}, epochs=20, shuffle=False, monitor={"probe_every": 50})


@healthy
def validation_every_tenth_epoch(runs: Path) -> Facts:
    """The training loss is done early, the validation loss falls to the end: one input hardly varies in training."""
    keras.utils.set_random_seed(23)
    generator = np.random.default_rng(0)
    weights = np.array([[10.0], [3.0]])
    x = np.column_stack([generator.normal(size=64), 0.13 * generator.normal(size=64)]).astype(np.float32)
    validation_x = generator.normal(size=(128, 2)).astype(np.float32)
    data = {
        "x": x,
        "y": (x @ weights + generator.normal(size=(64, 1))).astype(np.float32),
        "validation_data": (validation_x, (validation_x @ weights).astype(np.float32)),
        "batch_size": 64,
    }
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer="zeros")])
    compiled(model, keras.optimizers.SGD(0.2), "mse")
    return train(model, runs, data, epochs=200, validation_freq=10, monitor={"overhead": 0.01})


@healthy
def folds_with_one_monitor(runs: Path) -> Facts:
    """Four models one after another: the first epoch of one is no spike of the one before."""
    data = blobs(768, noise=1.5)
    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    for fold in range(4):
        rest = np.arange(768) % 4 != fold
        model = compiled(mlp(momentum=0.9), keras.optimizers.Adam(0.005))
        x, y = data["x"], data["y"]
        held = x[~rest], y[~rest]
        model.fit(x[rest], y[rest], validation_data=held, epochs=14, callbacks=[monitor], verbose=0)
    return facts(monitor)


@healthy
def folds_of_one_model(runs: Path) -> Facts:
    """The initial weights are put back between the folds."""
    data = blobs(768, noise=1.5)
    monitor = tuimon.Monitor(runs_dir=runs, name="training")
    model = compiled(mlp(momentum=0.9), keras.optimizers.Adam(0.005))
    initial = model.get_weights()
    for fold in range(3):
        rest = np.arange(768) % 4 != fold
        x, y = data["x"], data["y"]
        model.set_weights(initial)
        held = x[~rest], y[~rest]
        model.fit(x[rest], y[rest], validation_data=held, epochs=14, callbacks=[monitor], verbose=0)
    return facts(monitor)


# --- With a fault ---------------------------------------------------------------------------------------------------


@fault("R1")
def momentum_too_high_for_the_run(runs: Path) -> Facts:
    """Momentum 0.998, 192 steps: 68 % of the initial statistics is left, and inputs that are far from 0."""
    data = line(512)
    data["x"] = data["x"] + 9
    data["validation_data"] = data["validation_data"][0] + 9, data["validation_data"][1]
    model = compiled(mlp(4, classifier=False, momentum=0.998), keras.optimizers.Adam(0.003), "mse")
    return train(model, runs, data, epochs=12, monitor={"probe_every": 30})


@fault("R2")
def batch_of_one(runs: Path) -> Facts:
    model = compiled(mlp(4, classifier=False, momentum=0.999), keras.optimizers.Adam(1e-4), "mse")
    return train(model, runs, {**line(64), "batch_size": 1}, epochs=12, monitor={"probe_every": 100})


@fault("R2")
def batch_of_one_without_a_probe(runs: Path) -> Facts:
    model = compiled(mlp(4, classifier=False), keras.optimizers.Adam(1e-4), "mse")
    return train(model, runs, {**line(64), "batch_size": 1}, epochs=12, monitor={"probe": False})


@fault("R2")
def last_batch_of_one(runs: Path) -> Facts:
    """161 examples in batches of 32."""
    model = compiled(mlp(4, classifier=False, momentum=0.9), keras.optimizers.Adam(0.005), "mse")
    return train(model, runs, line(161, noise=0.05), epochs=40, monitor={"probe_every": 50})


@fault("R2")
def last_batch_of_one_of_a_tf_data_set(runs: Path) -> Facts:
    data = line(161, noise=0.05)
    model = compiled(mlp(4, classifier=False, momentum=0.9), keras.optimizers.Adam(0.005), "mse")
    batches = tf.data.Dataset.from_tensor_slices((data.pop("x"), data.pop("y"))).shuffle(161, seed=1)
    batches = batches.batch(data.pop("batch_size")).prefetch(1)
    return train(model, runs, {"x": batches, **data}, epochs=40, shuffle=False, monitor={"overhead": 0.01})


class OneLeft(keras.utils.PyDataset):
    """Batches of 32, and a last one of a single example; Keras does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.data = line(161, noise=0.05)

    @property
    def num_batches(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return tuple(self.data[name][32 * index : 32 * index + 32] for name in ("x", "y"))


@note("R2")
def last_batch_of_one_of_unknown_size(runs: Path) -> Facts:
    batches = OneLeft()
    model = compiled(mlp(4, classifier=False, momentum=0.9), keras.optimizers.Adam(0.005), "mse")
    data = {"x": batches, "validation_data": batches.data["validation_data"]}
    return train(model, runs, data, epochs=40, shuffle=False, monitor={"overhead": 0.01})


@fault("R2")
def validation_of_one_in_training_mode(runs: Path) -> Facts:
    keras.utils.set_random_seed(29)
    model = compiled(AlwaysTraining(), keras.optimizers.Adam(0.003), "mse")
    data = line(512, noise=0.05, validation=64)
    return train(model, runs, data, epochs=12, validation_batch_size=1, monitor={"probe_every": 50})


@fault("R3")
def validation_data_not_scaled(runs: Path) -> Facts:
    data = blobs(1024)
    data["validation_data"] = 10 * data["validation_data"][0] + 3, data["validation_data"][1]
    return train(compiled(mlp(momentum=0.95)), runs, data, epochs=15, monitor={"probe_every": 100})


@note("R3")
def augmentation_of_training_data_alone(runs: Path) -> Facts:
    """Each training example is turned up or down and shifted anew, as brightness and contrast are."""
    keras.utils.set_random_seed(31)
    data = blobs(2048, noise=0.5)
    examples = tf.data.Dataset.from_tensor_slices((data["x"], data["y"])).shuffle(2048, seed=3)

    def turned(x: Any, y: Any) -> Any:
        return x * tf.exp(tf.random.normal((), stddev=1.0)) + tf.random.normal((), stddev=2.5), y

    batches = {"x": examples.map(turned).batch(32), "validation_data": data["validation_data"]}
    return train(compiled(mlp(momentum=0.9)), runs, batches, epochs=12, shuffle=False)


class Forgetful(keras.Model):
    """Its ``call`` takes no ``training``."""

    def __init__(self) -> None:
        super().__init__(name="forgetful")
        self.hidden = layers.Dense(16, name="hidden")
        self.norm = layers.BatchNormalization(name="bn")
        self.dropout = layers.Dropout(0.3, name="dropout")
        self.out = layers.Dense(1, "sigmoid", name="out")

    def call(self, inputs: Any) -> Any:
        return self.out(self.dropout(keras.ops.relu(self.norm(self.hidden(inputs)))))


@fault("R4")
def call_without_training(runs: Path) -> Facts:
    keras.utils.set_random_seed(14)
    return train(compiled(Forgetful()), runs, blobs(2048), epochs=1000, callbacks=[UntilSampled(runs)])


@fault("R4")
def frozen_base_of_another_scale(runs: Path) -> Facts:
    """A base that was trained on a scale of 74 is fed a scale of 74 / 255: nothing is left of the inputs."""
    keras.utils.set_random_seed(27)
    old = blobs(1024, seed=3)
    base = keras.Sequential(
        [
            keras.Input((8,)),
            layers.BatchNormalization(name="bn_in", momentum=0.9),
            layers.Dense(16, name="dense"),
            layers.BatchNormalization(name="bn", momentum=0.9),
            layers.ReLU(name="relu"),
        ],
        name="base",
    )
    whole = compiled(keras.Sequential([base, layers.Dense(1, "sigmoid")]))
    whole.fit(127 + 74 * old["x"], old["y"], epochs=10, batch_size=32, verbose=0)
    base.trainable = False
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layers.Dense(1, "sigmoid")(base(inputs, training=False)))
    data = blobs(1024, seed=4)
    x, y = data["validation_data"]
    data |= {"x": (127 + 74 * data["x"]) / 255, "validation_data": ((127 + 74 * x) / 255, y)}
    return train(compiled(model), runs, data, epochs=15, monitor={"probe_every": 100})


@fault("R5")
def one_example_too_large(runs: Path) -> Facts:
    """A broken example whose square float32 does not hold: the variance of its batch is infinite, the loss is not."""
    data = blobs(1024)
    data["x"][100, 2] = 1e25
    model = keras.Sequential([keras.Input((8,)), layers.BatchNormalization(name="bn"), layers.Dense(1, "sigmoid")])
    return train(compiled(model), runs, data, epochs=15)


@fault("R21")
def one_example_that_is_not_scaled(runs: Path) -> Facts:
    """In one batch, an example is 500 times as large as the others."""
    steps, broken = 40, 405
    data, generator = pictures(32 * steps, size=8), np.random.default_rng(4)
    x, y = data["x"], data["y"]

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for step in itertools.count():
            rows = generator.integers(0, len(x), 32)
            images = x[rows]
            if step == broken:
                images[7] *= 500
            yield images, y[rows]

    model = cnn(seed=16)
    compiled(model, loss="sparse_categorical_crossentropy")
    return train(
        model,
        runs,
        {"x": batches(), "validation_data": data["validation_data"]},
        epochs=16,
        steps_per_epoch=steps,
        shuffle=False,
    )


class OfOld(layers.BatchNormalization):
    """As before TensorFlow 2: in training mode also where it is not trainable."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        was, self.__dict__["_trainable"] = self._trainable, True
        try:
            return super().call(inputs, training=training, mask=mask)
        finally:
            self.__dict__["_trainable"] = was


@fault("R6")
def frozen_layer_that_moves(runs: Path) -> Facts:
    keras.utils.set_random_seed(15)
    norm = OfOld(name="bn")
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16), norm, layers.ReLU(), layers.Dense(1, "sigmoid")])
    norm.trainable = False
    return train(compiled(model), runs, blobs(2048), epochs=1000, callbacks=[UntilSampled(runs)])


@fault("R6")
def learning_rate_zero(runs: Path) -> Facts:
    model = compiled(mlp(), keras.optimizers.SGD(0.0))
    return train(model, runs, blobs(2048), epochs=1000, callbacks=[UntilSampled(runs)])


@fault("R6")
def schedule_in_epochs_for_steps(runs: Path) -> Facts:
    """The learning rate is 0 from step 20 of 640 on."""
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, decay_steps=20)
    return train(
        compiled(mlp(), keras.optimizers.Adam(schedule)), runs, blobs(1024), epochs=20, monitor={"overhead": 0.01}
    )


@fault("R6")
def schedule_in_epochs_for_steps_without_batch_normalization(runs: Path) -> Facts:
    keras.utils.set_random_seed(24)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(32, "relu"), layers.Dense(1)])
    schedule = keras.optimizers.schedules.PolynomialDecay(0.05, decay_steps=16, end_learning_rate=0.0)
    data = blobs(1024)
    data["y"] = 10 + 3 * data["x"][:, :1]
    data["validation_data"] = data["validation_data"][0], 10 + 3 * data["validation_data"][0][:, :1]
    return train(
        compiled(model, keras.optimizers.SGD(schedule), "mse"), runs, data, epochs=20, monitor={"overhead": 0.01}
    )


@fault("R7")
def frozen_while_it_trains(runs: Path) -> Facts:
    """A callback sets ``trainable``, which the traced step does not see."""

    def freeze(model: Any, step: int) -> None:
        if step == 200:
            model.get_layer("bn_1").trainable = False

    return train(
        compiled(mlp()), runs, blobs(2048), epochs=1000, callbacks=[Every(freeze), UntilSampled(runs, after=200)]
    )


@fault("R8")
def channels_behind_dead_relus(runs: Path) -> Facts:
    keras.utils.set_random_seed(16)
    bias = np.zeros(16, np.float32)
    bias[:10] = -30
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(16, "relu", bias_initializer=lambda shape, dtype=None: keras.ops.convert_to_tensor(bias)),
            layers.BatchNormalization(name="bn", momentum=0.95),
            layers.Dense(1, "sigmoid"),
        ]
    )
    return train(compiled(model), runs, blobs(1024), epochs=15, monitor={"probe_every": 100})


@fault("R8")
def inputs_that_are_constant(runs: Path) -> Facts:
    """Five of eight columns have one value; float32 gives the batches of one of them a variance above 0."""
    keras.utils.set_random_seed(25)
    data = blobs(512)
    for inputs in (data["x"], data["validation_data"][0]):
        inputs[:, :5] = [0.0, 1.0, 7.3, 1000.1, -0.1]
    model = keras.Sequential(
        [keras.Input((8,)), layers.BatchNormalization(name="bn", momentum=0.95), layers.Dense(1, "sigmoid")]
    )
    return train(compiled(model, keras.optimizers.Adam(0.01)), runs, data, epochs=20, monitor={"overhead": 0.01})


@note("R8")
def inputs_of_small_scale(runs: Path) -> Facts:
    """Pixels that are divided by 255 twice: a note, since the model learns all the same."""
    keras.utils.set_random_seed(26)
    data = blobs(512)
    for inputs in (data["x"], data["validation_data"][0]):
        inputs *= 0.3 / 255
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.BatchNormalization(name="bn_in", momentum=0.9),
            layers.Dense(16),
            layers.BatchNormalization(name="bn_1", momentum=0.9),
            layers.ReLU(),
            layers.Dense(1, "sigmoid"),
        ],
        name="small",
    )
    return train(compiled(model), runs, data, epochs=20, monitor={"overhead": 0.01})


@fault("R9")
def one_layer_for_two_distributions(runs: Path) -> Facts:
    keras.utils.set_random_seed(17)
    generator = np.random.default_rng(2)
    left, right = (generator.normal(size=(512, 6)).astype(np.float32) for _ in range(2))
    y = ((left * right).sum(axis=1, keepdims=True) > 0).astype(np.float32)
    data = {"x": [left, 5 * right + 10], "y": y, "batch_size": 64}
    return train(twins(), runs, data, epochs=40, monitor={"probe_every": 100})


@fault("R10")
def momentum_one(runs: Path) -> Facts:
    return train(compiled(mlp(momentum=1.0)), runs, blobs(1024), epochs=10, monitor={"probe_every": 100})


@fault("R10")
def momentum_that_lets_nothing_in(runs: Path) -> Facts:
    return train(compiled(mlp(momentum=0.9999)), runs, blobs(1024), epochs=10, monitor={"probe_every": 100})


@fault("R10")
def momentum_above_one(runs: Path) -> Facts:
    return train(compiled(mlp(momentum=1.01)), runs, blobs(1024), epochs=10, monitor={"probe_every": 100})


@fault("R10")
def momentum_of_pytorch(runs: Path) -> Facts:
    """Momentum 0.01, which PyTorch has for 0.99, and batches of 16 with heavy tails."""
    data = blobs(512)
    generator = np.random.default_rng(3)
    for inputs in (data["x"], data["validation_data"][0]):
        inputs *= np.sqrt(4 / generator.chisquare(4, (len(inputs), 1)))
    model = compiled(mlp(units=32, momentum=0.01))
    return train(model, runs, {**data, "batch_size": 16}, epochs=15, monitor={"probe_every": 32})


@fault("R12")
def example_that_is_not_a_number(runs: Path) -> Facts:
    data = blobs(1024)
    data["x"][7 * 32 + 5, 3] = np.nan
    return train(compiled(mlp()), runs, data, epochs=3, shuffle=False, monitor={"probe_every": 50})


@fault("R20")
def relus_that_are_never_positive(runs: Path) -> Facts:
    """No gradient gets past a layer of ReLUs that are never positive."""
    keras.utils.set_random_seed(18)
    dead = layers.Dense(16, "relu", bias_initializer=keras.initializers.Constant(-50.0))
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), dead, layers.Dense(1, "sigmoid")])
    return train(compiled(model), runs, blobs(1024), epochs=12)


@note("R15")
def ftrl_in_a_net_with_hidden_layers(runs: Path) -> Facts:
    """Ftrl derives weights from sums of gradients, not from initial values: its first step leaves a third of them."""
    keras.utils.set_random_seed(30)
    hidden = [layers.Dense(32, "relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((4,)), *hidden, layers.Dense(1)])
    return train(compiled(model, keras.optimizers.Ftrl(), "mse"), runs, line(4096), epochs=8)


@fault("R13")
def targets_that_nothing_explains(runs: Path) -> Facts:
    keras.utils.set_random_seed(19)
    data = blobs(1024)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1, kernel_initializer="zeros")])
    data["y"] = np.tile([[1.0], [-1.0]], (512, 1)).astype(np.float32)
    data["x"] = np.repeat(data["x"][::2], 2, axis=0)
    data["validation_data"] = data["x"][:256], data["y"][:256]
    return train(compiled(model, "sgd", "mse"), runs, data, epochs=12)


@fault("R19")
def generator_that_takes_its_time(runs: Path) -> Facts:
    """A batch takes 100 ms, a step far less."""
    data = blobs(1024)

    def batches() -> Iterator[Any]:
        while True:
            for first in range(0, 1024, 32):
                time.sleep(0.1)
                yield data["x"][first : first + 32], data["y"][first : first + 32]

    # Without a validation, which on a busy machine takes longer than the waits.
    return train(compiled(mlp()), runs, {"x": batches()}, epochs=3, steps_per_epoch=32, shuffle=False)


# --- The first sample config ----------------------------------------------------------------------------------------


@fault("R2")
def finetune_one_sample(runs: Path) -> Facts:
    """Train sample_configs/finetune_one_sample.toml, smaller: a batch of one, frozen at step 40, thawed at step 80."""
    sample = script("sample_configs/finetune_one_sample.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(runs.parent / "cache"))  # It keeps the pre-trained weights.
        model = sample.build_model(samples=10_000, units=128, epochs=3)
    model.compile(keras.optimizers.Adam(3e-6), sample.negative_rate)
    monitor = tuimon.Monitor(runs_dir=runs, name="training", overhead=0.5, probe_every=20)
    plan: dict[int, list[commands.AnyRequest]] = {40: [commands.Freeze()], 80: [commands.Unfreeze()]}
    model.fit(**sample.load_sample(), batch_size=1, epochs=120, callbacks=[Ask(monitor, plan), monitor], verbose=0)
    return facts(monitor)


# --- Validation losses that stand out --------------------------------------------------------------------------------

SPIKE_EPOCH = 15
"""From 0."""
SPIKES: dict[str, tuple[str, Training]] = {}
"""By name: the cause that a spike has to be put down to, and the training."""


def spike(cause: str) -> Callable[[Training], Training]:
    def register(training: Training) -> Training:
        SPIKES[training.__name__] = cause, training
        return training

    return register


@spike("an optimizer step too far")
def one_large_step(runs: Path) -> Facts:
    """The learning rate is 300 times as large for the last step of an epoch."""
    keras.utils.set_random_seed(20)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(24, "relu"), layers.Dense(1)])
    compiled(model, keras.optimizers.SGD(0.02), "mse")
    steps = 8

    def step_far(model: Any, step: int) -> None:
        model.optimizer.learning_rate = 6.0 if step == (SPIKE_EPOCH + 1) * steps - 1 else 0.02

    return train(
        model, runs, line(32 * steps), epochs=20, callbacks=[Every(step_far)], monitor={"probe_every": steps // 2}
    )


@spike("moving statistics lag")
def weights_that_run_away_from_the_statistics(runs: Path) -> Facts:
    """The layer before BatchNormalization grows fourfold: training, which is invariant to scale, notices nothing."""
    model = compiled(mlp(4, classifier=False, momentum=0.9), keras.optimizers.Adam(0.003), "mse")
    steps = 8

    def grow(model: Any, step: int) -> None:
        if step == (SPIKE_EPOCH + 1) * steps - 2:
            kernel = model.get_layer("dense_1").kernel
            kernel.assign(4 * kernel)

    return train(model, runs, line(32 * steps), epochs=20, callbacks=[Every(grow)], monitor={"probe_every": steps // 2})


@spike("a few examples")
def a_weight_that_few_examples_use(runs: Path) -> Facts:
    """It is far off for one epoch, and two validation examples show it."""
    keras.utils.set_random_seed(21)
    data, steps = line(256), 8
    rare = np.zeros((512, 1), np.float32)
    rare[[300, 400]] = 1
    x, (validation_x, validation_y) = data["x"], data["validation_data"]
    data |= {
        "x": np.hstack([x, rare[:256]]),
        "validation_data": (np.hstack([validation_x, rare[256:]]), validation_y),
    }
    model = keras.Sequential([keras.Input((5,)), layers.Dense(24, "relu", name="dense"), layers.Dense(1, name="out")])

    def throw(model: Any, step: int) -> None:
        kernel = model.get_layer("dense").kernel
        if step == (SPIKE_EPOCH + 1) * steps - 1:
            kernel.assign(keras.ops.concatenate([kernel[:4], kernel[4:] + 60.0]))
        elif step == (SPIKE_EPOCH + 1) * steps:
            kernel.assign(keras.ops.concatenate([kernel[:4], kernel[4:] - 60.0]))

    compiled(model, "adam", "mse")
    return train(model, runs, data, epochs=20, callbacks=[Every(throw)], monitor={"probe_every": steps // 2})


class DrawnAnew(keras.utils.PyDataset):
    """Validation batches of two that are others each time; in one epoch one of them is hard."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.data = line(32, validation=2000)["validation_data"]

    @property
    def num_batches(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Any:
        first = (32 * self.epoch + 2 * index) % 1900
        x, y = (part[first : first + 2] for part in self.data)
        return x, y + (12.0 if self.epoch == SPIKE_EPOCH and index == 5 else 0.0)

    def draw_anew(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch


@spike("sampling noise")
def validation_drawn_anew(runs: Path) -> Facts:
    keras.utils.set_random_seed(22)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(24, "relu"), layers.Dense(1)])
    compiled(model, "adam", "mse")
    validation = DrawnAnew()
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_begin=validation.draw_anew)]
    data = {**line(256), "validation_data": validation}
    return train(model, runs, data, epochs=20, callbacks=callbacks, monitor={"probe_every": 8})


# --- What the batches, and the modes, do to the inputs of a layer --------------------------------------------------


def sites(*, shuffle: bool) -> dict[str, Any]:
    """Recordings of eight sites, each with an offset of its own, one after another."""
    generator = np.random.default_rng(0)
    offset = 3 * generator.normal(size=(8, 8))

    def of(site: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        signal = generator.normal(size=(len(site), 8))
        y = signal @ np.linspace(-1, 1, 8) + 0.3 * generator.normal(size=len(site)) > 0
        return (signal + offset[site]).astype(np.float32), y.astype(np.float32)[:, None]

    x, y = of(np.arange(1024) * 8 // 1024)
    validation = of(generator.integers(0, 8, 256))
    return {"x": x, "y": y, "validation_data": validation, "batch_size": 32, "shuffle": shuffle}


@fault("R18")
def batches_of_one_site_each(runs: Path) -> Facts:
    return train(compiled(mlp()), runs, sites(shuffle=False), epochs=20)


@healthy
def batches_of_all_sites(runs: Path) -> Facts:
    return train(compiled(mlp(momentum=0.9)), runs, sites(shuffle=True), epochs=20)


@note("R16")
def dropout_before_batch_normalization(runs: Path) -> Facts:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((8,))], name="mlp")
    for number in (1, 2, 3):
        model.add(layers.Dense(64, "relu", name=f"dense_{number}"))
        model.add(layers.Dropout(0.6, name=f"dropout_{number}"))
        model.add(layers.BatchNormalization(name=f"bn_{number}", momentum=0.9))
    model.add(layers.Dense(1, name="out"))
    data = line(2048, noise=0.1)
    data["x"], data["validation_data"] = (
        np.tile(data["x"], 2),
        (np.tile(data["validation_data"][0], 2), data["validation_data"][1]),
    )
    return train(compiled(model, keras.optimizers.Adam(0.003), "mse"), runs, data, epochs=25)


class CallsItsNormInTrainingMode(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense, self.out = layers.Dense(32, "relu"), layers.Dense(1)
        self.bn = layers.BatchNormalization(name="bn_1")

    def call(self, inputs: Any) -> Any:
        return self.out(self.bn(self.dense(inputs), training=True))


@fault("R2")
def batch_statistics_in_validation(runs: Path) -> Facts:
    keras.utils.set_random_seed(5)
    data = line(1024, validation=64)
    return train(compiled(CallsItsNormInTrainingMode(), loss="mse"), runs, data, epochs=4, validation_batch_size=1)


@fault("R17")
def averages_with_the_statistics_of_the_trained_weights(runs: Path) -> Facts:
    """`ema_momentum` 0.999 remembers a thousand steps, the moving statistics a hundred."""
    keras.utils.set_random_seed(1)
    generator = np.random.default_rng(0)
    x, kernel = generator.normal(size=(9000, 20)).astype(np.float32), generator.normal(size=(20, 1)).astype(np.float32)
    data = {"x": x[:8000], "y": x[:8000] @ kernel, "validation_data": (x[8000:], x[8000:] @ kernel), "batch_size": 128}
    model = keras.Sequential([keras.Input((20,)), layers.Dense(64, "relu"), layers.BatchNormalization(name="bn_1")])
    model.add(layers.Dense(64, "relu"))
    model.add(layers.BatchNormalization(name="bn_2"))
    model.add(layers.Dense(1))
    optimizer = keras.optimizers.Adam(0.003, use_ema=True, ema_momentum=0.999)
    swap = keras.callbacks.SwapEMAWeights()
    compiled(model, optimizer, "mse")
    return train(model, runs, data, epochs=8, callbacks=[swap], monitor={"probe_every": 100})


@fault("R20")
def a_decision_within_the_model(runs: Path) -> Facts:
    """The sign of what comes in: its derivative is 0."""
    keras.utils.set_random_seed(18)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(1, keras.ops.sign)])
    return train(compiled(model, loss="mse"), runs, blobs(1024), epochs=3)


@fault("R20")
def a_root_of_zero(runs: Path) -> Facts:
    """The norm of what is 0 for all examples: its value is 0, its derivative is not a number. No weight is left."""
    keras.utils.set_random_seed(18)
    norm = layers.Lambda(
        lambda x: keras.ops.sqrt(keras.ops.sum(keras.ops.relu(x - 100.0) ** 2, axis=-1, keepdims=True))
    )
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), norm, layers.Dense(1, "sigmoid")])
    return train(compiled(model), runs, blobs(1024), epochs=3)


@fault("R20")
def steps_below_the_last_digit_of_bfloat16(runs: Path) -> Facts:
    keras.utils.set_random_seed(18)
    kind = {"dtype": "bfloat16"}
    model = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu", **kind), layers.Dense(1, "sigmoid", **kind)])
    return train(compiled(model, keras.optimizers.Adam(1e-5)), runs, blobs(1024), epochs=3)


@fault("R15")
def labels_that_the_inputs_do_not_tell(runs: Path) -> Facts:
    """A linear model of noise: it soon answers with the mean."""
    keras.utils.set_random_seed(18)
    data = blobs(2048)
    data["y"] = np.random.default_rng(5).normal(size=(2048, 1)).astype(np.float32)
    del data["validation_data"]
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1)])
    return train(compiled(model, keras.optimizers.Adam(0.01), "mse"), runs, data, epochs=12)


@fault("R14")
def more_weights_than_examples(runs: Path) -> Facts:
    return train(compiled(mlp(units=128), keras.optimizers.Adam(0.003)), runs, blobs(64, noise=3.0), epochs=60)
