"""Reading TensorBoard's event files: `tuimon import`, TensorBoard's own reader, and terminalboard, in turns.

Needs the package tensorboard, which the group ``bench`` brings. terminalboard wants another plotext than tuimon: it is
installed into an environment of its own; where that cannot be, the others are compared.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS, METRICS = 100_000, ("loss", "accuracy", "val_loss", "val_accuracy", "lr", "grad_norm", "auc", "precision")
ROUNDS = 3
ENCODINGS = {"simple_value": "as PyTorch writes", "tensor": "as TensorFlow 2 writes"}
_TENSORBOARD = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
log = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "tensors": 0})
log.Reload()
tags = log.Tags()
print(sum(len(log.Scalars(tag)) for tag in tags["scalars"]) + sum(len(log.Tensors(tag)) for tag in tags["tensors"]))
"""
_TERMINALBOARD = """
import sys
from terminalboard.reader import make_reader
reader = make_reader(sys.argv[1])
reader.poll()
print(len(reader.all_tags()))
"""


def write(directory: Path, encoding: str) -> None:
    """Write a log of scalars, one record for each."""
    import numpy as np
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-not-found, unused-ignore]
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-not-found, unused-ignore]
    from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-not-found, unused-ignore]
    from tensorboard.util.tensor_util import make_tensor_proto  # type: ignore[import-not-found, unused-ignore]

    generator = random.Random(0)
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    directory.mkdir()
    with (directory / "events.out.tfevents.1000.host.1.0.v2").open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=1000.0, file_version="brain.Event:2").SerializeToString())
        for step in range(STEPS):
            for name in METRICS:
                number = 5.0 / (1 + step / 2000) * generator.uniform(0.9, 1.1)
                if encoding == "tensor":
                    tensor = make_tensor_proto(np.float32(number))
                    value = Summary.Value(tag=name, tensor=tensor, metadata=metadata)
                else:
                    value = Summary.Value(tag=name, simple_value=number)
                summary = Summary(value=[value])
                writer.write(Event(wall_time=1000.0 + step / 100, step=step, summary=summary).SerializeToString())


def terminalboard(directory: Path) -> Path | None:
    """Install terminalboard; return its Python, None where it cannot be had."""
    python = directory / "terminalboard" / "bin" / "python"
    commands = [
        [sys.executable, "-m", "venv", str(directory / "terminalboard")],
        [str(python), "-m", "pip", "install", "--quiet", "terminalboard"],
    ]
    for command in commands:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return None
    return python


def seconds(command: list[str]) -> float:
    """Return how long a process takes from its start to its end."""
    began = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        other = terminalboard(directory)
        print(f"{STEPS:,} steps × {len(METRICS)} scalars in event files, whole processes, median of {ROUNDS}")
        for encoding, words in ENCODINGS.items():
            log = directory / encoding
            write(log, encoding)
            commands = {
                "tuimon import": [
                    sys.executable,
                    "-m",
                    "tuimon",
                    "import",
                    str(log),
                    "--runs-dir",
                    str(directory / "r"),
                ],
                "terminalboard": [str(other), "-c", _TERMINALBOARD, str(log)] if other else [],
                "EventAccumulator": [sys.executable, "-c", _TENSORBOARD, str(log)],
            }
            taken: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(ROUNDS):
                for name, command in commands.items():
                    if command:
                        taken[name].append(seconds(command))
            size = sum(path.stat().st_size for path in log.iterdir()) / 1e6
            print(f"  {encoding}, {words} ({size:.0f} MB)")
            ours = statistics.median(taken["tuimon import"])
            for name, every in taken.items():
                if every:
                    median = statistics.median(every)
                    print(f"    {name:18} {median:6.2f} s   {ours / median:5.2f} of it is tuimon's")
                else:
                    print(f"    {name:18} could not be installed")


if __name__ == "__main__":
    main()
