"""Records the logs in ``recorded/``: as Keras' TensorBoard callback and tensorboardX write them.

Needs the packages tensorflow, tensorboard and tensorboardX, which the tests do without:

    python tests/foreign/record_logs.py
"""

import json
import shutil
import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded"


def keras_logs() -> None:
    """Train a small model with the callback, once for each of its frequencies; keep what Keras says beside it."""
    import keras
    import numpy as np

    for name, update_freq, histogram_freq in (("keras", "epoch", 1), ("keras_batches", 1, 0)):
        keras.utils.set_random_seed(0)
        x = np.random.default_rng(0).normal(size=(48, 4)).astype("float32")
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(6),
                keras.layers.BatchNormalization(name="bn"),
                keras.layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse", metrics=["mae"])
        callback = keras.callbacks.TensorBoard(
            RECORDED / name, update_freq=update_freq, histogram_freq=histogram_freq, write_graph=False
        )
        history = model.fit(
            x, x[:, :1], validation_split=0.25, batch_size=12, epochs=4, verbose=0, callbacks=[callback]
        )
        (RECORDED / f"{name}.json").write_text(json.dumps(history.history))


def tensorboardx_log() -> None:
    """Write scalars, a histogram and a text; begin again at step 6 with `purge_step`."""
    import numpy as np
    from tensorboardX import SummaryWriter

    for purge_step, steps in ((None, range(10)), (6, range(6, 12))):
        # A file's name has the second in which it was made.
        writer = SummaryWriter(RECORDED / "tensorboardx", purge_step=purge_step, filename_suffix=f".{purge_step or 0}")
        for step in steps:
            writer.add_scalar("Loss/train", 1 / (1 + step) + (purge_step or 0), step)
            if step % 3 == 0:
                writer.add_scalar("Loss/val", 2 / (1 + step) + (purge_step or 0), step)
        writer.add_histogram("weights", np.linspace(-1, 3, 101), 4)
        writer.add_text("note", "warm *restart*", 2)
        writer.add_image("picture", np.zeros((3, 2, 2)), 2)
        writer.close()


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["keras", "tensorboardx"]
    RECORDED.mkdir(exist_ok=True)
    if "keras" in wanted:
        for path in RECORDED.glob("keras*/"):
            shutil.rmtree(path)
        keras_logs()
    if "tensorboardx" in wanted:
        shutil.rmtree(RECORDED / "tensorboardx", ignore_errors=True)
        tensorboardx_log()
