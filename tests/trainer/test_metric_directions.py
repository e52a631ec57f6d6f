"""The direction in which a metric is better, as its name tells it, against Keras' own."""

import inspect

import keras
import pytest

from tuimon.runs.best import is_lower_better

ARGUMENTS = {
    "IoU": {"num_classes": 2, "target_class_ids": [0]},
    "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2},
    "OneHotMeanIoU": {"num_classes": 2},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
}
METRICS = sorted(
    name
    for name, kind in vars(keras.metrics).items()
    if inspect.isclass(kind) and issubclass(kind, keras.metrics.Metric) and name != "MeanMetricWrapper"
)


@pytest.mark.parametrize("name", METRICS)
def test_the_direction_is_that_of_keras(name: str) -> None:
    metric = getattr(keras.metrics, name)(**ARGUMENTS.get(name, {}))
    direction = {"down": True, "up": False, None: None}[getattr(metric, "_direction", None)]
    assert is_lower_better(metric.name) is direction
    assert is_lower_better(f"val_head_{metric.name}_1") is direction
