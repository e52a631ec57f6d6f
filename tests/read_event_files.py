"""Prints what TensorBoard's own reader finds in a log directory, as JSON.

python read_event_files.py DIRECTORY

A process of its own, in which TensorBoard does without TensorFlow: that would take seconds, and both in one process do
not go together.
"""

import json
import sys
import types
from pathlib import Path

sys.modules["tensorboard.compat.notf"] = types.ModuleType("notf")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.plugin_util import markdown_to_safe_html  # noqa: E402
from tensorboard.util.tensor_util import make_ndarray  # noqa: E402


def read(directory: Path) -> dict[str, object]:
    found = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tensors = {
        tag: [(event.step, event.wall_time, make_ndarray(event.tensor_proto)) for event in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    }
    plugins = {tag: found.SummaryMetadata(tag).plugin_data.plugin_name for tag in tensors}
    return {
        "writer": found.GetSourceWriter(),
        "scalars": {
            # As text: JSON has no NaN.
            **{
                tag: [(event.step, repr(event.value)) for event in found.Scalars(tag)]
                for tag in found.Tags()["scalars"]
            },
            # TensorFlow writes them as tensors.
            **{
                tag: [(step, repr(float(array.item()))) for step, _, array in values]
                for tag, values in tensors.items()
                if plugins[tag] == "scalars"
            },
        },
        "times": {tag: [event.wall_time for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]},
        "histograms": {
            tag: [(step, array.tolist()) for step, _, array in values]
            for tag, values in tensors.items()
            if plugins[tag] == "histograms"
        },
        "texts": {
            tag: [(step, array.item().decode()) for step, _, array in values]
            for tag, values in tensors.items()
            if plugins[tag] == "text"
        },
        "shown": {
            tag: [markdown_to_safe_html(array.item()) for _, _, array in values]
            for tag, values in tensors.items()
            if plugins[tag] == "text"
        },
    }


if __name__ == "__main__":
    root = Path(sys.argv[1])
    directories = sorted({path.parent for path in root.rglob("events.out.tfevents.*")})
    print(json.dumps({str(directory.relative_to(root)): read(directory) for directory in directories}))
