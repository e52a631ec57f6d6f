"""The training process of ``tuimon run``: ``python -m tuimon.trainer.keras.job RUN_DIRECTORY``.

Reads the run's ``config.toml``, builds model and data, evaluates, fits, evaluates. The run's log opens before Keras
loads, so that a viewer sees the run from its first moment.
"""

import faulthandler
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuimon.launch import config as configuration
from tuimon.launch.launcher import TAKEN
from tuimon.protocol import events
from tuimon.protocol.wire import scalars_to_wire
from tuimon.runs import end_reasons
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.keras.fit_ends import tell_all
from tuimon.trainer.options import Options, ProbeOptions
from tuimon.trainer.requests.answers import reject_left_over
from tuimon.trainer.session import trainer_log
from tuimon.trainer.session.end_signals import SIGNALS, EndedBySignal, EndSignals
from tuimon.trainer.session.log_file import LogTakenError
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.session.system_sampler import SystemSampler

if TYPE_CHECKING:
    from tuimon.trainer.checkpoints import Checkpoint


def main(arguments: list[str]) -> int:
    """Train; return the exit code: 0 finished or stopped, 1 failed, 75 if another process trains the run.

    After a signal it is 128 + its number: who started this must not take the training for complete.
    """
    faulthandler.enable()
    run, resumes = RunDirectory.at(Path(arguments[0])), "--resume" in arguments[1:]
    trainer_log.keep_bounded(run.trainer_log)
    trainer_log.forgive_full_disk()
    # `tuimon run` checked the config, but the file may have been exchanged since.
    config = configuration.read(run.config, only_own=resumes)
    try:
        tables = configuration.recorded(config)
        recorder = Recorder(run, name=config.run.name, config=tables, resumes=resumes, console="process")
    except LogTakenError as error:
        print(error, file=sys.stderr)
        return TAKEN
    recorder.accompany(SystemSampler(recorder))
    if resumes:
        reject_left_over(recorder)
    signals = _signals(config, recorder)
    try:
        try:
            was_stopped = _train(config, recorder, signals, resumes=resumes)
        finally:
            signals.raises = False
        signals.check()
    except EndedBySignal as signalled:
        recorder.end("stopped", reason=str(signalled))
        return 128 + signalled.number
    except BaseException as error:  # noqa: BLE001 - whatever ends the training, the log reports it
        status, _ = end_reasons.how_ended(error)
        if status == "failed":
            traceback.print_exc()
        recorder.end(status, error)
        return 1 if status == "failed" else 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else 0
    recorder.end("stopped" if was_stopped else "finished")
    return 0


def _signals(config: configuration.Config, recorder: Recorder) -> EndSignals:
    """Handle the signals that end a process; until ``fit`` looks at them, they end it at once."""
    signals = EndSignals(
        grace_seconds=config.monitor.grace_seconds,
        noticed=tell_all,
        end=lambda reason: recorder.end("stopped", reason=reason),
        exits=True,
    )
    signals.install((*SIGNALS, signal.SIGINT))
    signals.raises = True
    return signals


def _train(config: configuration.Config, recorder: Recorder, signals: EndSignals, *, resumes: bool) -> bool:
    recorder.record(events.StateChanged(state="preparing", detail="loading Keras"))
    import keras

    from tuimon.trainer.keras import going_on
    from tuimon.trainer.keras.monitor import Monitor

    training = config.training
    if training.seed is not None:
        keras.utils.set_random_seed(training.seed)
    recorder.record(events.StateChanged(state="preparing", detail="building the model"))
    model = _model(keras, config)
    recorder.record(events.StateChanged(state="preparing", detail="loading the data"))
    data = _fit_arguments(config.load(config.data.build)(**config.data.arguments))
    callbacks = [_callback(keras, config, table, recorder.run) for table in training.callbacks]
    checkpoint = _go_on(model, data, recorder) if resumes else None
    monitor = Monitor.for_recorder(
        recorder,
        options=_options(config.monitor),
        batch_loss=config.monitor.batch_loss,
        checkpoint=checkpoint,
        signals=signals,
    )
    if training.evaluate and not resumes:
        _evaluate(model, data, recorder, "before training")
    model.fit(
        **data,
        epochs=training.epochs,
        initial_epoch=going_on.first_epoch(checkpoint, training.epochs) if checkpoint else 0,
        batch_size=training.batch_size,
        validation_split=training.validation_split,
        # A data set shuffles itself, and Keras warns about the argument.
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


def _model(keras: Any, config: configuration.Config) -> Any:
    """Build the model, and compile it if the config says how."""
    training = config.training
    model = config.load(config.model.build)(**config.model.arguments)
    if training.loss is not None:
        model.compile(
            optimizer=_optimizer(keras, training),
            loss=_named(config, training.loss),
            metrics=[_named(config, metric) for metric in training.metrics],
            jit_compile=training.jit_compile,
            steps_per_execution=training.steps_per_execution,
        )
    return model


def _options(monitor: configuration.Monitor) -> Options:
    return Options(
        overhead=monitor.overhead,
        probe=ProbeOptions(is_on=monitor.probe, every=monitor.probe_every),
        prepare=monitor.prepare,
        orders=monitor.orders,
        checkpoint_minutes=monitor.checkpoint_minutes,
        checkpoints_kept=monitor.checkpoints_kept,
        grace_seconds=monitor.grace_seconds,
        checkpoint_at_stop=monitor.checkpoint_minutes > 0,
    )


def _go_on(model: Any, data: dict[str, Any], recorder: Recorder) -> "Checkpoint":
    """Restore the newest readable checkpoint, and record that."""
    from tuimon.trainer import checkpoints
    from tuimon.trainer.keras import going_on

    recorder.record(events.StateChanged(state="preparing", detail="reading the checkpoint"))
    newest, wrong = checkpoints.Checkpoints(recorder.run.checkpoints).newest()
    for words in wrong:
        recorder.record(events.Note(text=words))
    if newest is None:
        raise checkpoints.CheckpointError("this run has no checkpoint that can be read")
    _build(model, data)
    going_on.take_up(recorder, model, newest)
    return newest


def _build(model: Any, data: dict[str, Any]) -> None:
    """Create the variables that Keras would create with the first batch, if the model has none yet."""
    import keras

    if model.built:
        return
    x = data["x"]
    if hasattr(x, "element_spec"):
        batch = next(iter(x))
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    elif all(hasattr(part, "shape") for part in keras.tree.flatten(x)):
        batch = (keras.tree.map_structure(lambda part: part[:1], x),)
    else:
        raise ValueError(
            "the model has no variables before its first batch: give it an Input, so that it can be resumed"
        )
    model(keras.utils.unpack_x_y_sample_weight(batch)[0])


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
