"""Writes a measured value with its standard error."""

import math

from tuimon.numbers import figure, signed_figure

LARGE = 1e6
"""From this size on, a value is written with an exponent."""


def measured(value: float, error: float, *, signed: bool = False) -> str:
    """Return a value with its standard error, both to the error's second digit.

    Args:
        value: The value.
        error: Its standard error; 0 or NaN: it is not written.
        signed: Whether a positive value has its sign.

    Example:
        >>> measured(1.02703, 0.00153), measured(-17.3, 0.0), measured(0.2, math.nan, signed=True), measured(312.7, 41)
        ('1.0270 ± 0.0015', '-17.3', '+0.2', '313 ± 41')
        >>> measured(1421594904.0, 470961600.0)
        '(1.42 ± 0.47)e9'
    """
    if not (math.isfinite(error) and error > 0) or not math.isfinite(value):
        return signed_figure(value, 3) if signed else figure(value, 3)
    if abs(value) >= LARGE:
        power = math.floor(math.log10(abs(value)))
        return f"({measured(value / 10.0**power, error / 10.0**power, signed=signed)})e{power}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    text = f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"
    return f"{text} ± {error:,.{decimals}f}"
