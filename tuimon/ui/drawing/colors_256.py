"""The 256 colours that terminals have without true colour: over SSH, mostly.

Without this table each colour would be rounded by itself: dark blue grey to teal, and text to a colour that can
hardly be read on it.
"""

import itertools
from functools import cache

import numpy as np
import numpy.typing as npt
from rich.color import Color, ColorSystem

_CUBE = (0, 95, 135, 175, 215, 255)

FloatArray = npt.NDArray[np.float64]


def luminance(colors: FloatArray) -> FloatArray:
    """Return the relative luminance of colours, shape ``(…, 3)`` from 0 to 255.

    Source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance.
    """
    share = colors / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    result: FloatArray = linear @ np.array([0.2126, 0.7152, 0.0722])
    return result


def contrast(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the contrast of colours, from 1 to 21."""
    low, high = np.minimum(luminance(one), luminance(other)), np.maximum(luminance(one), luminance(other))
    result: FloatArray = (high + 0.05) / (low + 0.05)
    return result


def nearest(color: str, backgrounds: tuple[str, ...], least: float, taken: frozenset[str] = frozenset()) -> str:
    """Return the colour of the 256 nearest to ``color`` that has a contrast of ``least`` on all backgrounds.

    Args:
        color: Written as "#62b5f5".
        backgrounds: Colours of the 256, written the same way.
        least: The least contrast, from 1 to 21.
        taken: Colours that already stand for something else.
    """
    names, values = _all()
    wanted = np.array(Color.parse(color).get_truecolor(), dtype=np.float64)
    free = np.array([name not in taken for name in names])
    for background in backgrounds:
        free &= contrast(values, _shown(background)) >= least
    # "redmean", https://www.compuphase.com/cmetric.htm: close to how alike eyes find two colours.
    red = (values[:, 0] + wanted[0]) / 512
    weights = np.stack([2 + red, np.full(len(names), 4.0), 3 - red], axis=1)
    distance = (weights * (values - wanted) ** 2).sum(axis=1)
    return names[int(np.argmin(np.where(free, distance, np.inf)))]


@cache
def _all() -> tuple[list[str], FloatArray]:
    """Return the colours as they are written, and as a terminal then shows them: the two may differ."""
    written = itertools.chain(itertools.product(_CUBE, repeat=3), ((grey,) * 3 for grey in range(256)))
    names = ["#{:02x}{:02x}{:02x}".format(*color) for color in written]
    by_shown = {tuple(_shown(name).tolist()): name for name in names}
    return list(by_shown.values()), np.array(list(by_shown))


def _shown(color: str) -> FloatArray:
    return np.array(Color.parse(color).downgrade(ColorSystem.EIGHT_BIT).get_truecolor(), dtype=np.float64)
