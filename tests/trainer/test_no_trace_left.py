"""What a Monitor leaves on a model, and in what is saved of it, is nothing: in the middle of ``fit`` and afterwards."""

import gc
import json
import pickle
import random
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.data.ops.iterator_ops import OwnedIterator

import tuimon
from helpers import ROOT, until
from trainer.keras_models import Ask, facts_of
from trainer.kinds import KINDS, Kind, every_kind, state_of
from tuimon.protocol import commands, events

EPOCHS = 2
REQUESTS = (commands.Freeze(), commands.Phase(phase="train"))


def asking(runs: Path) -> list[Any]:
    """Return a Monitor, behind what has a mode put in force from the second epoch on."""
    monitor = tuimon.Monitor(runs_dir=runs)
    return [Ask(monitor, {1: REQUESTS}), monitor]


def assert_asked(callbacks: Sequence[Any], kind: Kind) -> None:
    """The requests were heeded, and nothing went wrong."""
    monitor = callbacks[-1]
    assert facts_of(monitor, events.Note) == []
    applied = facts_of(monitor, events.CommandApplied)
    assert [fact.first_step for fact in applied] == ([kind.steps] * 2 if kind.has_batch_norm else [])


# --- What hangs on a model ------------------------------------------------------------------------------------------


def outline(model: keras.Model, but: str = "") -> dict[str, dict[str, str]]:
    """Return what each part of a model has in it, but for one attribute: names, plain values, the others' kinds."""
    metrics = list(model.metrics)
    for metric in metrics:
        metrics += [inner for inner in getattr(metric, "metrics", ()) if inner not in metrics]
    optimizers = [model.optimizer, getattr(model.optimizer, "inner_optimizer", None)]
    variables = [*model.variables, *model.optimizer.variables]
    parts = [*model._flatten_layers(), *metrics, *filter(None, optimizers), *variables]
    return {
        f"{number} {type(part).__name__} {getattr(part, 'path', '')}": {
            name: _outline_of_value(value) for name, value in vars(part).items() if name != but
        }
        for number, part in enumerate(parts)
    }


def _outline_of_value(value: object) -> str:
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, tuple | list | dict | set):
        return f"{type(value).__name__} of {len(value)}"
    return getattr(value, "__qualname__", type(value).__qualname__)


def differences(left: dict[str, dict[str, str]], right: dict[str, dict[str, str]]) -> list[str]:
    """Return where two outlines differ, in words."""
    assert list(left) == list(right)
    return [
        f"{part}.{name}: {left[part].get(name)} or {right[part].get(name)}"
        for part in left
        for name in {**left[part], **right[part]}
        if left[part].get(name) != right[part].get(name)
    ]


def what_comes_next() -> list[object]:
    """Return the next automatic names and random numbers of this process."""
    named = (
        keras.layers.Dense(1),
        keras.layers.BatchNormalization(),
        keras.Sequential(),
        keras.metrics.Mean(),
        keras.optimizers.SGD(),
        keras.random.SeedGenerator(1),
    )
    return [
        random.random(),
        np.random.random(),
        float(keras.random.uniform(())),
        float(tf.random.uniform(())),
        *(thing.name for thing in named),
        keras.Variable(0.0).name,
    ]


class Functions(keras.callbacks.Callback):
    """Notes the user's own functions; goes before the Monitor."""

    train: Any = None
    test: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.train = self.model.train_function

    def on_test_begin(self, logs: Any = None) -> None:
        self.test = self.test or self.model.test_function

    def assert_back(self) -> None:
        assert self.model.train_function is self.train
        assert self.model.test_function is self.test


class Looks(keras.callbacks.Callback):
    """Outlines the model between two steps, in each epoch."""

    def __init__(self, but: str) -> None:
        super().__init__()
        self.but = but
        self.seen: list[dict[str, dict[str, str]]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            self.seen.append(outline(self.model, self.but))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seen.append(outline(self.model, self.but))


class Iterators(keras.callbacks.Callback):
    """Counts the iterators of `tf.data` that are alive: each holds threads and batches, and takes long to end."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: list[int] = []
        gc.collect()
        self._before = self._count()

    def look(self) -> None:
        self.alive.append(self._count() - self._before)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.look()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.look()

    @staticmethod
    def _count() -> int:
        return sum(type(each) is OwnedIterator for each in gc.get_objects())


@pytest.mark.parametrize("kind", every_kind("sequential", "endless dataset", "data of unknown length", "generator"))
def test_no_iterator_of_the_data_lives_longer_than_without(runs: Path, kind: Kind) -> None:
    def counted(callbacks: Sequence[Any]) -> list[int]:
        model, iterators = kind.model(), Iterators()
        for _ in range(2):
            kind.fit(model, EPOCHS, [iterators, *callbacks])
            # Keras leaves a circle of references behind where data end before it expects it.
            gc.collect()
            iterators.look()
        return iterators.alive

    monitor = tuimon.Monitor(runs_dir=runs)
    alone = counted([])
    watched = counted([Ask(monitor, {1: (*REQUESTS, commands.Probe())}), monitor])
    assert max(alone) > 0
    # While batches are read ahead, they are in one of their own.
    assert sum(mine - plain for mine, plain in zip(watched, alone, strict=True)) in (0, 1)
    assert watched[len(alone) // 2 - 1] == watched[-1] == 0


@pytest.mark.parametrize("kind", every_kind("made late", "several inputs and outputs"))
def test_nothing_hangs_on_a_model_between_two_steps_nor_afterwards(runs: Path, kind: Kind) -> None:
    def look(callbacks: Sequence[Any]) -> tuple[list[dict[str, dict[str, str]]], list[object]]:
        model = kind.model()
        looks, functions = Looks(kind.keras_leaves), Functions()
        kind.fit(model, EPOCHS, [functions, looks, *callbacks])
        functions.assert_back()
        return [*looks.seen, outline(model, kind.keras_leaves)], what_comes_next()

    alone, next_alone = look([])
    callbacks = asking(runs)
    watched, next_watched = look(callbacks)
    assert_asked(callbacks, kind)
    assert len(alone) == 2 * EPOCHS + 1
    assert [differences(*pair) for pair in zip(alone, watched, strict=True)] == [[]] * len(alone)
    assert next_watched == next_alone


# --- What is saved --------------------------------------------------------------------------------------------------


class Saves(keras.callbacks.Callback):
    """Saves the model at the end of both epochs in all ways that Keras and TensorFlow have."""

    def __init__(self, kind: Kind, directory: Path) -> None:
        super().__init__()
        self.kind = kind
        self.directory = directory
        self.weights: list[np.ndarray] = []
        self.outputs: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        place = self.directory / str(epoch)
        place.mkdir(parents=True)
        self.model.save(place / "model.keras")
        self.model.save_weights(place / "model.weights.h5")
        if epoch == EPOCHS - 1:
            self.model.export(place / "export", verbose=False)
            if not self.kind.why_no_saved_model:
                tf.saved_model.save(self.model, place / "saved_model")
            self.weights = self.model.get_weights()
            self.outputs = arrays(self.model(self.kind.inputs(), training=False))


def arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


def content_of_h5(path: Any, *, values: bool) -> dict[str, object]:
    """Return names, shapes and types in a file of weights, and what is in them."""
    content: dict[str, object] = {}

    def visit(name: str, item: Any) -> None:
        attributes = {key: str(value) for key, value in item.attrs.items()}
        dataset = (item.shape, str(item.dtype), item[()].tobytes() if values else b"") if hasattr(item, "shape") else ()
        content[name] = (attributes, dataset)

    with h5py.File(path) as file:
        file.visititems(visit)
    return content


def without_identities(config: Any) -> Any:
    """Return a config without Python's ids of the objects that occur in it twice."""
    if isinstance(config, dict):
        return {name: without_identities(value) for name, value in config.items() if name != "shared_object_id"}
    return [without_identities(value) for value in config] if isinstance(config, list) else config


def content_of_keras(path: Path, *, values: bool) -> dict[str, object]:
    """Return all that a ``.keras`` file holds, but for the date."""
    with zipfile.ZipFile(path) as archive:
        metadata = json.loads(archive.read("metadata.json"))
        del metadata["date_saved"]
        with archive.open("model.weights.h5") as weights:
            return {
                "names": archive.namelist(),
                "metadata": metadata,
                "config": without_identities(json.loads(archive.read("config.json"))),
                "weights": content_of_h5(weights, values=values),
            }


def content_of_saved_model(path: Path) -> Counter[str]:
    """Return how the objects in a SavedModel hang together, by the names of their children."""
    saved = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return Counter(
        f"{node.WhichOneof('kind')}: {sorted(child.local_name for child in node.children)}"
        for node in graph.object_graph_def.nodes
    )


STRANGER = """
import sys
sys.modules["tuimon"] = None  # Who imports it fails.
sys.path.insert(0, sys.argv[1])
answers, sys.stdout = sys.stdout, sys.stderr
import pickle
import traceback
import keras
import numpy as np
import tensorflow as tf
from trainer.kinds import KINDS

try:
    import tuimon
except ImportError:
    pass
else:
    raise SystemExit("it knows tuimon")


def load(name, place, inputs):
    kind = KINDS[name]
    loaded = keras.saving.load_model(f"{place}/model.keras")
    anew = kind.model()
    anew(inputs)  # Some are built only now.
    anew.load_weights(f"{place}/model.weights.h5")
    results = {
        "model.keras": (loaded.get_weights(), loaded(inputs, training=False)),
        "model.weights.h5": (anew.get_weights(), anew(inputs, training=False)),
    }
    if not kind.why_no_export:
        exported = tf.saved_model.load(f"{place}/export")
        results["export"] = ([], exported.serve(inputs))
    if not kind.why_no_saved_model:
        saved = tf.saved_model.load(f"{place}/saved_model")
        serve = saved.signatures["serving_default"]
        names = sorted(serve.structured_input_signature[1])
        results["saved_model"] = ([], serve(**dict(zip(names, map(tf.convert_to_tensor, keras.tree.flatten(inputs))))))
    return {how: (weights, [np.asarray(o) for o in keras.tree.flatten(out)]) for how, (weights, out) in results.items()}


for line in sys.stdin:
    question = line.rstrip().removesuffix(".question")
    try:
        with open(f"{question}.question", "rb") as file:
            result = load(*pickle.load(file))
    except Exception:
        result = traceback.format_exc()
    with open(f"{question}.answer", "wb") as file:
        pickle.dump(result, file)
    print(question, file=answers, flush=True)
"""

Stranger = Callable[[Kind, Path], dict[str, tuple[list[np.ndarray], list[np.ndarray]]]]


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """Loads what was saved, in an interpreter of its own that has no tuimon."""
    directory = tmp_path_factory.mktemp("stranger")
    script = directory / "stranger.py"
    script.write_text(STRANGER)
    line = [sys.executable, "-I", str(script), str(ROOT / "tests")]
    with (
        (directory / "errors").open("wb") as errors,
        subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(kind: Kind, place: Path) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
            question = place / "stranger"
            question.with_suffix(".question").write_bytes(pickle.dumps((kind.name, str(place), kind.inputs())))
            print(f"{question}.question", file=process.stdin, flush=True)
            assert process.stdout.readline(), (directory / "errors").read_text()
            answer = pickle.loads(question.with_suffix(".answer").read_bytes())
            assert isinstance(answer, dict), answer
            return answer

        yield ask
        process.stdin.close()


@pytest.mark.parametrize("kind", every_kind("nested"))
def test_what_is_saved_in_the_middle_of_fit_is_as_without_and_loads_without(
    runs: Path, tmp_path: Path, stranger: Stranger, kind: Kind
) -> None:
    alone, saves = tmp_path / "alone", Saves(kind, tmp_path / "watched")
    kind.fit(kind.model(), EPOCHS, [Saves(kind, alone)])
    callbacks = asking(runs)
    kind.fit(kind.model(), EPOCHS, [saves, *callbacks])
    assert_asked(callbacks, kind)

    for epoch in range(EPOCHS):
        first, second = alone / str(epoch), saves.directory / str(epoch)
        values = epoch == 0  # Then the mode was in force, and they are others.
        for content, name in ((content_of_keras, "model.keras"), (content_of_h5, "model.weights.h5")):
            assert content(second / name, values=values) == content(first / name, values=values)
    for name in ("export", *(() if kind.why_no_saved_model else ("saved_model",))):
        assert content_of_saved_model(second / name) == content_of_saved_model(first / name)

    for how, (weights, outputs) in stranger(kind, second).items():
        if weights:
            assert [array.tobytes() for array in weights] == [array.tobytes() for array in saves.weights], how
        assert len(outputs) == len(saves.outputs)
        for output, expected in zip(outputs, saves.outputs, strict=True):
            np.testing.assert_allclose(output, expected, rtol=1e-2 if "float16" in kind.name else 1e-4, err_msg=how)


# --- What comes to a sudden end -------------------------------------------------------------------------------------


class Breaks(keras.callbacks.Callback):
    """Raises in one of its hooks, in the second epoch."""

    def __init__(self, hook: str, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.epoch = 0
        setattr(self, hook, self._raise_later)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def _raise_later(self, *arguments: Any, **options: Any) -> None:
        if self.epoch == 1:
            raise self.error


HOOKS = {
    "on_train_batch_begin": "before",  # What is raised behind the Monitor is seen when the next fit begins.
    "on_train_batch_end": "behind",
    "on_test_begin": "behind",
    "on_test_batch_end": "behind",
    "on_test_end": "behind",
    "on_epoch_end": "behind",
}
ERRORS = {"error": RuntimeError("a mistake of the user's"), "interrupt": KeyboardInterrupt()}


def interrupted(kind: Kind, callbacks: Sequence[Any], hook: str, error: BaseException) -> keras.Model:
    """Return a model whose fit a callback has ended, with the user's own functions."""
    model, functions, breaks = kind.model(), Functions(), Breaks(hook, error)
    both = [breaks, *callbacks] if HOOKS[hook] == "before" else [*callbacks, breaks]
    with pytest.raises(type(error)):
        kind.fit(model, EPOCHS, [functions, *both])
    functions.assert_back()
    return model


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        # Every second hook with one of them, in turns; the other hooks, and the other one, in the full tests.
        pytest.param(hook, ERRORS[name], id=f"{hook}-{name}", marks=() if place % 4 == 2 * turn else pytest.mark.full)
        for place, hook in enumerate(HOOKS)
        for turn, name in enumerate(ERRORS)
    ],
)
def test_an_exception_in_a_callback_leaves_everything_the_users(runs: Path, hook: str, error: BaseException) -> None:
    kind = KINDS["sequential"]
    alone = outline(interrupted(kind, [], hook, error))
    callbacks = asking(runs)
    watched = outline(interrupted(kind, callbacks, hook, error))
    assert differences(alone, watched) == []
    if hook != "on_train_batch_begin":  # There it was before the step under the mode.
        # The log is written beside the training, and nothing tells the Monitor of what is raised behind it.
        until(lambda: len(facts_of(callbacks[-1], events.CommandApplied)) == len(REQUESTS), what="the answers")


@pytest.mark.full
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end"])
@pytest.mark.parametrize("kind", every_kind())
def test_of_every_kind_an_exception_in_a_callback_leaves_everything_the_users(
    runs: Path, kind: Kind, hook: str
) -> None:
    alone = outline(interrupted(kind, [], hook, KeyboardInterrupt()), kind.keras_leaves)
    watched = outline(interrupted(kind, asking(runs), hook, KeyboardInterrupt()), kind.keras_leaves)
    assert differences(alone, watched) == []


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end"])
def test_training_goes_on_after_an_exception_as_without(runs: Path, hook: str) -> None:
    kind = KINDS["sequential"]

    def train(callbacks: list[Any]) -> tuple[list[tuple[str, str, bytes]], dict[str, Any]]:
        model = interrupted(kind, callbacks, hook, RuntimeError("a mistake of the user's"))
        history = kind.fit(model, 1, callbacks).history
        kind.fit(model, 1)
        return state_of(model), history

    before = set(threading.enumerate())
    monitor = tuimon.Monitor(runs_dir=runs)
    assert train([monitor]) == train([])
    assert facts_of(monitor, events.RunEnded)[-1].status == "finished"
    assert [thread.name for thread in set(threading.enumerate()) - before if thread.name == "tuimon-inbox"] == []


@pytest.mark.parametrize(
    "kind", [KINDS["generator"], pytest.param(KINDS["endless dataset"], marks=pytest.mark.full)], ids=str
)
def test_an_exception_in_the_data_leaves_everything_the_users(
    runs: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import kinds

    def break_down(callbacks: list[Any]) -> dict[str, dict[str, str]]:
        data = kind.data()
        if kind.name == "generator":
            data["x"] = broken(data["x"])
        else:
            data["x"] = Broken()
        model, functions = kind.model(), Functions()
        with pytest.raises(Exception, match="the data are broken"):
            kind.fit(model, EPOCHS, [functions, *callbacks], **data)
        functions.assert_back()
        return outline(model)

    def broken(batches: Any) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            if number == 8:
                raise RuntimeError("the data are broken")
            yield batch

    class Broken(kinds.Endless):
        def __getitem__(self, index: int) -> Any:
            if index == 8:
                raise RuntimeError("the data are broken")
            return super().__getitem__(index)

    callbacks = asking(runs)
    assert differences(break_down([]), break_down(callbacks)) == []
    assert facts_of(callbacks[-1], events.RunEnded)[-1].status == "failed"
