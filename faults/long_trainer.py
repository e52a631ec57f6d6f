"""A process that records steps as fast as it may: `python -m faults.long_trainer RUN BESIDE MARK…`.

At each mark, a number of steps, it waits until the file `on-MARK` is there, and before the first until `on-0` is.
"""

import sys
import threading
import time
from pathlib import Path

import numpy as np

from helpers import fit_started, layer, model_built, statistics
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session.recorder import Recorder

A_LINE = 1000
"""Steps in a fact, as at 4,000 steps a second."""
AN_EPOCH = 20_000
AT_ONCE = 100_000
"""So many steps are recorded at most before they are on disk."""


def main(run: Path, beside: Path, marks: list[int]) -> None:
    """Record steps up to the last mark."""
    recorder = Recorder(RunDirectory.at(run), name="long")
    recorder.record(model_built(layer("bn_1")))
    epochs = marks[-1] // AN_EPOCH
    recorder.record(fit_started(epochs=epochs, steps_per_epoch=AN_EPOCH, can={}))
    recorder.record(events.StateChanged(state="training"))
    written = threading.Event()
    generator, step = np.random.default_rng(0), 0
    for mark in [0, *marks]:
        while step < mark:
            losses = np.round(np.exp(-step / 1e6) + 0.1 * generator.random(A_LINE), 6).tolist()
            step += A_LINE
            recorder.reach(step)
            fact = events.Batches(first_step=step - A_LINE, metrics={"loss": losses}, batches=A_LINE)
            recorder.record(fact, written.set)
            if step % AT_ONCE == 0:
                # Not faster than the disk: what waits for it takes memory, and no training is so fast.
                written.wait()
            written.clear()
            if step % AN_EPOCH == 0:
                recorder.enter_epoch(step // AN_EPOCH - 1)
                logs: dict[str, float | str] = {"loss": losses[-1], "val_loss": losses[0]}
                recorder.record(events.EpochEnded(logs=logs, learning_rate=1e-3, seconds=5.0))
                recorder.record(events.BatchNorm(layers={"bn_1": statistics(step / 1e6)}))
                for alert in recorder.diagnosis.look():
                    recorder.record(alert)
                time.sleep(0.001)
        (beside / f"at-{mark}").touch()
        while not (beside / f"on-{mark}").exists():
            time.sleep(0.01)
    recorder.end("finished")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), [int(mark) for mark in sys.argv[3:]])
