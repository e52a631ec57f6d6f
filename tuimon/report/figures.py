"""Numbers as the page writes them: short, one below the other by their points.

Pure. Must not import Keras, TensorFlow or Textual.
"""

import math
from collections.abc import Sequence

from tuimon.protocol.wire import Number, from_wire


def number(value: Number, digits: int = 4) -> str:
    """Return ``value`` with about ``digits`` significant digits, "–" for what is not known.

    Example:
        >>> number(-0.283112), number(0.00001234), number(20000), number("nan"), number(None)
        ('−0.2831', '1.234e-5', '20,000', 'nan', '–')
    """
    if value is None:
        return "–"
    real = from_wire(value)
    if not math.isfinite(real):
        return str(real).replace("-", "−")
    sign = "−" if real < 0 else ""
    size = abs(real)
    if size == 0:
        return "0"
    if size == round(size) and size < 1e9:
        return f"{sign}{size:,.0f}"
    if size < 1e-3 or size >= 1e6:
        mantissa, exponent = f"{size:.{digits - 1}e}".split("e")
        return f"{sign}{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{size:,.{decimals}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)


def aligned(texts: Sequence[str]) -> list[str]:
    """Return numbers padded to one width, their points one below the other.

    Example:
        >>> aligned(["0.25", "12", "−3.5"])
        [' 0.25', '12   ', '−3.5 ']
    """
    heads = [len(text.partition(".")[0]) if "e" not in text or "." in text else len(text) for text in texts]
    head = max(heads, default=0)
    tails = [len(text) - size for text, size in zip(texts, heads, strict=True)]
    tail = max(tails, default=0)
    return [
        " " * (head - first) + text + " " * (tail - last) for text, first, last in zip(texts, heads, tails, strict=True)
    ]


def percent(share: float) -> str:
    """Return a share of one in per cent; "–" for what is not known.

    Example:
        >>> percent(0.714), percent(0.0321), percent(1e-9), percent(0)
        ('71 %', '3.2 %', '<0.1 %', '0 %')
    """
    if not math.isfinite(share):
        return "–"
    size, sign = abs(100 * share), "−" if share < 0 else ""
    if size == 0:
        return "0 %"
    if size < 0.1:
        return ">−0.1 %" if sign else "<0.1 %"
    return f"{sign}{size:.{0 if size >= 9.95 else 1}f} %"
