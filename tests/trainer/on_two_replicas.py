"""Trains on two devices at once and writes what happened as JSON; test_mirrored.py runs it and reads that.

A process has its devices from the start, so this is one of its own: ``python on_two_replicas.py DIRECTORY``.
"""

import json
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tuimon
from helpers import until
from trainer.inside import train_functions_of
from trainer.keras_models import BATCH, Ask, compiled, data, facts, send
from tuimon.protocol import commands, events
from tuimon.trainer import schedule
from tuimon.trainer.keras.internals.layers import seed_states

# Before TensorFlow is used.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
# Its iterators over several devices wait for each other in these.
tf.config.threading.set_inter_op_parallelism_threads(8)

DIRECTORY = Path(sys.argv[1])
SAMPLES = 75
"""The last batch is split into unequal parts."""
STEPS = 5
STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
NORMS = ("bn_1", "bn_2")

Step = tuple[int, int]
"""Epoch and batch."""


def model() -> keras.Model:
    """Return a model whose BatchNormalization layers come before its dropout, so that what they see is known."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    with STRATEGY.scope():
        made = keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(8, name="dense_1"),
                layers.BatchNormalization(name="bn_1"),
                layers.ReLU(name="relu"),
                layers.Dense(5, name="dense_2"),
                layers.BatchNormalization(name="bn_2", synchronized=True),
                layers.Dropout(0.25, name="dropout"),
                layers.Dense(1, name="dense_3"),
            ],
            name="small",
        )
        compiled(made, keras.optimizers.Adam(0.01))
        made.optimizer.build(made.trainable_variables)
    return made


def train(trained: keras.Model, epochs: int, callbacks: Sequence[Any] = (), **options: Any) -> dict[str, list[float]]:
    x, y = data(SAMPLES)
    arguments = {"batch_size": BATCH, "validation_data": (x[:24], y[:24]), "shuffle": False, "verbose": 0}
    return dict(trained.fit(x, y, epochs=epochs, callbacks=list(callbacks), **{**arguments, **options}).history)


def replicas(variable: Any) -> list[np.ndarray]:
    """Return what each replica holds."""
    return [part.numpy() for part in STRATEGY.experimental_local_results(variable.value)]


class State:
    """All variables of a model, on each replica: weights, optimizer, seeds."""

    def __init__(self, trained: keras.Model) -> None:
        optimizer = trained.optimizer.variables
        self.variables = [*trained.weights, *optimizer, *seed_states(trained)]
        self.values = [replicas(variable) for variable in self.variables]

    def put_back(self) -> None:
        for variable, values in zip(self.variables, self.values, strict=True):
            variable.assign(values[0])

    def differences(self, other: "State") -> list[str]:
        """Return the paths of the variables that are not the same on some replica."""
        return [
            variable.path
            for variable, mine, theirs in zip(self.variables, self.values, other.values, strict=True)
            if any(not np.array_equal(left, right) for left, right in zip(mine, theirs, strict=True))
        ]

    def on(self, replica: int) -> dict[str, np.ndarray]:
        """Return what a replica holds, by path."""
        return {variable.path: values[replica] for variable, values in zip(self.variables, self.values, strict=True)}

    def spread(self) -> list[str]:
        """Return the paths of the variables in which the replicas differ."""
        pairs = zip(self.variables, self.values, strict=True)
        return [variable.path for variable, (first, second) in pairs if not np.array_equal(first, second)]


class Script(Ask):
    """Asks at known steps, and does what else is planned there; goes before the Monitor."""

    def __init__(self, monitor: tuimon.Monitor, plan: Mapping[Step, Sequence[Any]]) -> None:
        super().__init__(monitor, {})
        self.steps = plan
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for item in self.steps.get((self.epoch, batch), ()):
            if callable(item):
                item()
            else:
                self.ask(item)


class Meanwhile(threading.Thread):
    """Sends requests, each after the answer to the last, once training is paused; then resumes it."""

    def __init__(self, monitor: tuimon.Monitor, requests: Sequence[commands.AnyRequest] = ()) -> None:
        super().__init__(daemon=True)
        self.monitor = monitor
        self.requests = requests

    def run(self) -> None:
        def last_state() -> str:
            return str(facts_of(self.monitor, events.StateChanged)[-1].state)

        until(lambda: last_state() == "paused", what="the pause")
        for request in (*self.requests, commands.Resume()):
            identity = send(self.monitor, request)
            until(lambda identity=identity: identity in answers(self.monitor), what="an answer")


class Look(keras.callbacks.Callback):
    """Keeps the variables before and after each step and each validation; goes behind the Monitor."""

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 0
        self.before: dict[Step, State] = {}
        self.after: dict[Step, State] = {}
        self.ends: list[State] = []
        self.rates: dict[Step, list[float]] = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.before[self.epoch, batch] = State(self.model)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.after[self.epoch, batch] = State(self.model)
        self.rates[self.epoch, batch] = [float(rate) for rate in replicas(self.model.optimizer.learning_rate)]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ends.append(State(self.model))

    def moved(self, step: Step) -> list[str]:
        """Return the paths of the weights that a step has moved."""
        weights = {weight.path for weight in self.model.weights}
        return [path for path in self.before[step].differences(self.after[step]) if path in weights]


def facts_of(monitor: tuimon.Monitor, *kinds: type) -> list[Any]:
    """Return facts of the last ``fit``: one Monitor serves for all of them, so that each mode is traced once."""
    found = facts(monitor)
    last = max(number for number, fact in enumerate(found) if isinstance(fact, events.FitStarted))
    return [fact for fact in found[last:] if isinstance(fact, kinds)]


def answers(monitor: tuimon.Monitor) -> dict[str, Any]:
    return {fact.id: fact for fact in facts_of(monitor, events.CommandApplied, events.CommandRejected)}


def parts() -> list[list[np.ndarray]]:
    """Return each batch's examples as the replicas get them."""
    x, _ = data(SAMPLES)
    spread = STRATEGY.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(x).batch(BATCH))
    return [[part.numpy() for part in STRATEGY.experimental_local_results(batch)] for batch in spread]


def normalized(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, among: np.ndarray) -> np.ndarray:
    mean, variance = among.mean(axis=0), among.var(axis=0)
    gamma, beta = weights[f"small/{name}/gamma"], weights[f"small/{name}/beta"]
    return (x - mean) / np.sqrt(variance + 0.001) * gamma + beta


def dense(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return x.astype(np.float64) @ weights[f"small/{name}/kernel"] + weights[f"small/{name}/bias"]


def inputs_of_norms(weights: Mapping[str, np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return what both BatchNormalization layers see in training, by replica: the first normalizes each by itself."""
    first = [dense(part, weights, "dense_1") for batch in parts() for part in batch]
    hidden = [np.maximum(normalized(part, weights, "bn_1", part), 0) for part in first]
    return first, [dense(part, weights, "dense_2") for part in hidden]


def loss_in_inference(x: np.ndarray, y: np.ndarray, weights: Mapping[str, np.ndarray]) -> float:
    """Return the sum of the examples' losses, everything in inference mode."""

    def norm(values: np.ndarray, name: str) -> np.ndarray:
        mean, variance = weights[f"small/{name}/moving_mean"], weights[f"small/{name}/moving_variance"]
        gamma, beta = weights[f"small/{name}/gamma"], weights[f"small/{name}/beta"]
        return (values - mean) / np.sqrt(variance + 0.001) * gamma + beta

    hidden = np.maximum(norm(dense(x, weights, "dense_1"), "bn_1"), 0)
    outputs = dense(norm(dense(hidden, weights, "dense_2"), "bn_2"), weights, "dense_3")
    return float(np.sum((outputs - y) ** 2))


def losses(monitor: tuimon.Monitor) -> list[Any]:
    return [value for fact in facts_of(monitor, events.Batches) for value in fact.metrics["loss"]]


def watch(trained: keras.Model, begin: State, monitor: tuimon.Monitor) -> dict[str, Any]:
    """Train alone twice, watched, and watched with all that is to change no number."""
    alone = train(trained, 2)
    end = State(trained)
    begin.put_back()

    def note(sums: list[tuple[float, float]]) -> None:
        # What Keras shows is the mean of the replicas' means, whatever the parts that they had.
        total, count = (sum(map(float, replicas(part))) for part in trained._loss_tracker.variables)
        sums.append((total, count))

    results: dict[str, Any] = {"deterministic": train(trained, 2) == alone and not State(trained).differences(end)}

    begin.put_back()
    sums: list[tuple[float, float]] = []
    history = train(
        trained, 2, [monitor, keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: note(sums))]
    )
    results["watched"] = {"differences": State(trained).differences(end), "same history": history == alone}
    results["losses"] = losses(monitor)
    results["sums"] = sums

    begin.put_back()
    quiet = {
        (0, 2): [commands.Evaluate(), commands.Snapshot(), commands.Note(text="here")],
        (1, 0): [commands.Recalibrate(dry_run=True, batches=3)],
        (1, 3): [commands.Checkpoint(), commands.Evaluate()],
        (1, 1): [commands.Pause(), Meanwhile(monitor).start],
    }
    history = train(trained, 2, [Script(monitor, quiet), monitor])
    results["asked"] = {"differences": State(trained).differences(end), "same history": history == alone}
    (dry,) = facts_of(monitor, events.Recalibrated)
    results["dry run"] = {
        "before": dry.before["loss"],
        "after": dry.after["loss"],
        "validation loss": alone["val_loss"][0],
    }
    results["answers"] = answered(monitor)
    return results


STAGES = ((), NORMS, (*NORMS, "dense_2"), ())
"""Layers that are frozen, by epoch."""


def freeze(trained: keras.Model, begin: State, monitor: tuimon.Monitor) -> tuple[State, dict[str, Any]]:
    """Freeze on request."""
    begin.put_back()
    plan = {
        (1, 0): [commands.Freeze()],
        (2, 0): [commands.Freeze(weights=True, layers=["dense_2"])],
        (3, 0): [commands.Unfreeze(), commands.Unfreeze(weights=True)],
    }
    train(trained, len(STAGES), [Script(monitor, plan), monitor], validation_data=None)
    return State(trained), {"answers": answered(monitor)}


def compile_anew(trained: keras.Model, begin: State) -> State:
    """Freeze by stopping, setting flags, compiling and going on."""
    begin.put_back()
    for epoch, frozen in enumerate(STAGES):
        for layer in trained.layers:
            layer.trainable = layer.name not in frozen
        if epoch:
            with STRATEGY.scope():
                compiled(trained, trained.optimizer)
        train(trained, epoch + 1, initial_epoch=epoch, validation_data=None)
    return State(trained)


def steer(trained: keras.Model, monitor: tuimon.Monitor) -> dict[str, Any]:
    """Ask for every change."""
    look = Look()
    found: dict[str, list[list[list[float]]]] = {}

    def look_at_recalibrated() -> None:
        train_functions_of(trained).before_next(lambda _: found.update(moving_statistics(trained)))

    plan: dict[Step, list[Any]] = {
        (0, 1): [commands.Pause(), Meanwhile(monitor, [commands.Freeze()]).start],
        (0, 2): [commands.Unfreeze()],
        (0, 3): [commands.Freeze(statistics=True)],
        (0, 4): [commands.Unfreeze(statistics=True)],
        (1, 1): [commands.Freeze(layers=["dense_2"], weights=True)],
        (1, 2): [commands.Unfreeze(layers=["dense_2"], weights=True)],
        (1, 3): [commands.LearningRate(learning_rate=0.0005)],
        (1, 4): [commands.Momentum(momentum=0.0)],
        (2, 0): [commands.Momentum(momentum=0.99)],
        (2, 4): [commands.Phase(phase="train")],
        (3, 0): [commands.Phase(phase="inference")],
        (4, 0): [commands.Phase(phase="auto"), commands.Checkpoint()],
        (5, 0): [commands.Rollback()],
        (6, 0): [commands.Recalibrate()],
        (6, 1): [commands.Evaluate(), commands.Snapshot(), commands.Note(text="here")],
        (6, 3): [commands.Stop()],
    }
    late = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: look_at_recalibrated() if (look.epoch, batch) == (6, 0) else None
    )
    history = train(trained, 8, [Script(monitor, plan), monitor, look, late])

    _, y = data(SAMPLES)
    ends = np.cumsum([len(part) for batch in parts() for part in batch])[:-1]
    targets = [np.split(y, ends)[2 * batch : 2 * batch + 2] for batch in range(STEPS)]
    inference = [
        sum(
            loss_in_inference(part, target, look.before[3, batch].on(replica))
            for replica, (part, target) in enumerate(zip(*of_batch, strict=True))
        )
        / sum(map(len, of_batch[0]))
        for batch, of_batch in enumerate(zip(parts(), targets, strict=True))
    ]
    (recalibrated,) = facts_of(monitor, events.Recalibrated)
    return {
        "answers": answered(monitor),
        "moved": {f"{epoch}/{batch}": look.moved((epoch, batch)) for epoch, batch in sorted(look.after)},
        "moved by validation": sorted(
            {path for epoch in range(6) for path in look.after[epoch, STEPS - 1].differences(look.ends[epoch])}
        ),
        "spread": look.ends[-1].spread(),
        "rates": {f"{epoch}/{batch}": rates for (epoch, batch), rates in look.rates.items()},
        "inference": {"expected": inference, "seen": losses(monitor)[3 * STEPS : 4 * STEPS]},
        "momentum": [
            {
                "expected": dense(part, look.before[1, STEPS - 1].on(replica), "dense_1").mean(axis=0).tolist(),
                "seen": look.after[1, STEPS - 1].on(replica)["small/bn_1/moving_mean"].tolist(),
            }
            for replica, part in enumerate(parts()[-1])
        ],
        "recalibrated": {
            "examples": recalibrated.examples,
            "batches": recalibrated.batches,
            "expected": {
                name: [np.concatenate(seen).mean(axis=0).tolist(), np.concatenate(seen).var(axis=0).tolist()]
                for name, seen in zip(NORMS, inputs_of_norms(look.before[6, 0].on(0)), strict=True)
            },
            "seen": found,
        },
        "rolled back": look.ends[4].differences(look.ends[5]),
        "steps": len(losses(monitor)),
        "status": facts_of(monitor, events.RunEnded)[-1].status,
        "epochs": len(history["loss"]),
        "validation losses": history["val_loss"],
        "evaluated": facts_of(monitor, events.Evaluated)[-1].logs["loss"],
    }


def repeat_validation(trained: keras.Model, begin: State) -> dict[str, Any]:
    """Have validations repeated whose last batch is split into unequal parts."""
    begin.put_back()
    validation_spike, schedule.is_spike = schedule.is_spike, lambda values: True
    monitor = tuimon.Monitor(DIRECTORY / "repeated", probe_every=8, overhead=0.99)
    x, y = data(SAMPLES)
    train(trained, 4, [monitor], validation_data=(x[:19], y[:19]))
    schedule.is_spike = validation_spike
    (first, *_) = facts_of(monitor, events.ValidationRepeated)
    return {"value": first.value, "moving": first.moving}


def flags_after_the_trace(trained: keras.Model, begin: State) -> dict[str, Any]:
    """Set flags between two fits and do not compile: the second without tuimon, and with it."""

    def two_fits(callbacks: Sequence[Any]) -> State:
        begin.put_back()
        for layer in trained.layers:
            layer.trainable = True
        with STRATEGY.scope():
            compiled(trained, trained.optimizer)
        train(trained, 1)
        for name in ("bn_1", "dense_2"):
            trained.get_layer(name).trainable = False
        train(trained, 1, callbacks)
        return State(trained)

    monitor = tuimon.Monitor(DIRECTORY / "flags", probe=False)
    alone, watched = two_fits([]), two_fits([monitor])
    return {
        "differences": alone.differences(watched),
        "losses": len(losses(monitor)),
        "notes": [note.text for note in facts_of(monitor, events.Note)],
    }


def moving_statistics(trained: keras.Model) -> dict[str, list[list[list[float]]]]:
    layers = [trained.get_layer(name) for name in NORMS]
    return {
        layer.name: [
            [replicas(variable)[replica].tolist() for variable in (layer.moving_mean, layer.moving_variance)]
            for replica in range(2)
        ]
        for layer in layers
    }


def answered(monitor: tuimon.Monitor) -> list[dict[str, Any]]:
    """Return the requests in the order of their answers, with the reason where one was rejected."""
    held = {fact.id: fact.held for fact in facts_of(monitor, events.CommandVerified)}
    return [
        {
            "words": commands.describe(commands.from_fact(fact.request)),
            "reason": getattr(fact, "reason", ""),
            "held": held.get(identity),
        }
        for identity, fact in answers(monitor).items()
    ]


def main() -> None:
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    trained, monitor = model(), tuimon.Monitor(DIRECTORY / "run")
    begin = State(trained)
    results = {"watch": watch(trained, begin, monitor)}
    asked, results["freeze"] = freeze(trained, begin, monitor)
    results["steer"] = steer(trained, monitor)
    results["freeze"]["differences"] = asked.differences(compile_anew(trained, begin))
    results["repeated"] = repeat_validation(trained, begin)
    results["flags"] = flags_after_the_trace(trained, begin)
    (DIRECTORY / "results.json").write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
