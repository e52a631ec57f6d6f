"""The widths of characters, as far as terminals agree on them."""

import numpy as np
import numpy.typing as npt

CONTINUED = 0x110000
"""The code of the right half of a wide character; codes above it are characters with marks over them, joined emoji."""

_NARROW = (
    (0x20, 0x7E),
    (0xA1, 0xAC),  # Latin
    (0xAE, 0x2FF),
    (0x370, 0x377),  # Greek, Cyrillic
    (0x391, 0x3A1),
    (0x3A3, 0x482),
    (0x48A, 0x52F),
    (0x2010, 0x2027),  # Punctuation
    (0x2190, 0x22FF),  # Arrows, mathematics
    (0x2500, 0x25FC),  # Boxes, bars, shapes
    (0x2800, 0x28FF),  # Braille
)
_WIDE = (
    (0x3041, 0x3096),  # Kana
    (0x30A1, 0x30FA),
    (0x4E00, 0x9FFF),  # Han
    (0xAC00, 0xD7A3),  # Hangul
)
WIDTHS = np.zeros(CONTINUED + 2, dtype=np.uint8)
"""How many cells each character takes in every terminal; 0 where they do not agree: emoji, clusters, some scripts."""
for _width, _ranges in enumerate((_NARROW, _WIDE), start=1):
    for _first, _last in _ranges:
        WIDTHS[_first : _last + 1] = _width
WIDTHS[CONTINUED] = 1


def widths(codes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return how many cells each takes in every terminal; 0 where they do not agree."""
    found: npt.NDArray[np.uint8] = WIDTHS[np.minimum(codes, CONTINUED + 1)]
    return found
