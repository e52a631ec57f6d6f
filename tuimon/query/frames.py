"""Tidy tables for pandas, which is loaded where somebody asks for one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tuimon.query.columns import Metric

INSTALL = "pip install pandas"
"""The command that the error names."""


def tidy(metrics: "Iterable[Metric]") -> Any:
    """Return a `pandas.DataFrame` with one row for each value.

    Args:
        metrics: The metrics, one after the other in the frame.

    Raises:
        ImportError: pandas is not installed; says how to install it.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(f"to_pandas needs pandas, which is not installed here: {INSTALL}") from error
    listed = list(metrics)
    counts = [len(metric) for metric in listed]

    def column(name: str, dtype: Any) -> Any:
        parts = [getattr(metric, name) for metric in listed]
        return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)

    names = [metric.name for metric in listed]
    codes = np.repeat(np.arange(len(listed)), counts)
    return pandas.DataFrame(
        {
            "step": column("steps", np.int64),
            "epoch": column("epochs", np.int64),
            "time": pandas.to_datetime(column("times", np.float64), unit="s", utc=True),
            "branch": column("branches", np.int64),
            "fit": column("fits", np.int64),
            "metric": pandas.Categorical.from_codes(codes, categories=names),
            "value": column("values", np.float64),
        }
    )
