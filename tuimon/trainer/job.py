"""The training process of ``tuimon run``: ``python -m tuimon.trainer.job RUN_DIRECTORY``.

Reads the run's ``config.toml``, builds what it names, evaluates, fits, evaluates. The run's log is open
from the first moment, before Keras has loaded, so that a viewer sees what happens and whether it lives.
"""

import faulthandler
import sys
import traceback
from pathlib import Path
from typing import Any

from tuimon import config as configuration
from tuimon import events
from tuimon.run_directory import RunDirectory
from tuimon.trainer import trainer_log
from tuimon.trainer.recorder import Recorder
from tuimon.wire import scalars_to_wire


def main(arguments: list[str]) -> int:
    """Train; returns the exit code: 0 finished or stopped, 1 failed."""
    faulthandler.enable()
    run = RunDirectory.at(Path(arguments[0]))
    trainer_log.keep_bounded(run.trainer_log)
    config = configuration.read(run.config)
    recorder = Recorder(run, name=config.run.name, config=configuration.as_tables(config))
    try:
        was_stopped = _train(config, recorder)
    except KeyboardInterrupt:
        recorder.end("stopped")
        return 0
    except BaseException as error:  # noqa: BLE001 - whatever ends it, the log says so
        traceback.print_exc()
        recorder.end("failed", error)
        return 1
    recorder.end("stopped" if was_stopped else "finished")
    return 0


def _train(config: configuration.Config, recorder: Recorder) -> bool:
    recorder.record(events.StateChanged(state="preparing", detail="loading Keras"))
    import keras

    from tuimon.trainer.monitor import Monitor

    training = config.training
    if training.seed is not None:
        keras.utils.set_random_seed(training.seed)
    recorder.record(events.StateChanged(state="preparing", detail="building the model"))
    model = config.load(config.model.build)(**config.model.arguments)
    if training.loss is not None:
        model.compile(
            optimizer=_optimizer(keras, training),
            loss=_named(config, training.loss),
            metrics=[_named(config, metric) for metric in training.metrics],
            jit_compile=training.jit_compile,
            steps_per_execution=training.steps_per_execution,
        )
    recorder.record(events.StateChanged(state="preparing", detail="loading the data"))
    data = _fit_arguments(config.load(config.data.build)(**config.data.arguments))
    callbacks = [_callback(keras, config, table, recorder.run) for table in training.callbacks]
    monitor = Monitor.for_recorder(recorder, overhead=config.monitor.overhead, batch_loss=config.monitor.batch_loss)
    if training.evaluate:
        _evaluate(model, data, recorder, "before training")
    model.fit(
        **data,
        epochs=training.epochs,
        batch_size=training.batch_size,
        validation_split=training.validation_split,
        # A data set shuffles itself, and Keras warns where it is told to.
        shuffle=training.shuffle and hasattr(data["x"], "shape"),
        callbacks=[*callbacks, monitor],
        verbose=0,
    )
    if training.evaluate:
        _evaluate(model, data, recorder, "after training")
        for callback in callbacks:
            if isinstance(callback, keras.callbacks.ModelCheckpoint) and Path(callback.filepath).exists():
                model.load_weights(callback.filepath)
                _evaluate(model, data, recorder, f"with the weights of {Path(callback.filepath).name}")
    return monitor.was_stopped


def _optimizer(keras: Any, training: configuration.Training) -> Any:
    arguments = {} if training.learning_rate is None else {"learning_rate": training.learning_rate}
    return getattr(keras.optimizers, training.optimizer or "Adam")(**arguments)


def _named(config: configuration.Config, name: str) -> Any:
    return config.load(name) if ":" in name else name


def _callback(keras: Any, config: configuration.Config, table: dict[str, Any], run: RunDirectory) -> Any:
    arguments = {key: value for key, value in table.items() if key != "class"}
    if "filepath" in arguments:
        arguments["filepath"] = str(run.path / arguments["filepath"])
    kind = config.load(table["class"]) if ":" in table["class"] else getattr(keras.callbacks, table["class"])
    return kind(**arguments)


def _fit_arguments(data: Any) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    if isinstance(data, tuple):
        return dict(zip(("x", "y", "validation_data"), data, strict=False))
    return {"x": data}


def _evaluate(model: Any, data: dict[str, Any], recorder: Recorder, name: str) -> None:
    validation = data.get("validation_data")
    x, y = validation if isinstance(validation, tuple) else (validation, None)
    if x is None:
        x, y = data["x"], data.get("y")
    recorder.record(events.StateChanged(state="validating", detail=name))
    logs = model.evaluate(x, y, verbose=0, return_dict=True)
    recorder.record(events.Evaluated(name=name, logs=scalars_to_wire(logs)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
