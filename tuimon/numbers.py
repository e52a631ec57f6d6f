"""Numbers as people read them: the one place where they are written.

- A minus is the ASCII `-`, as in `1e-5` and as on a keyboard: the typographic one takes two cells in some terminals,
  and there is none in latin-1.
- Small and large numbers are `1.23e-5` and `1.23e7`, without zeros and a plus in the exponent.
- A learning rate has no digits that say nothing: `0.01`, `3e-4`. So have momenta and the like.
- Thousands of counts are put apart by a comma: `20,000`. Only ticks of axes are short: `20k`.
- Before a percent sign is a blank: `71 %`.
- What is not known is "–", never 0.

On a screen that is drawn again and again, and in a column, the width must not jump: `number`, `signed` and `percent`.
A sentence or a page is read once: `figure`, `signed_figure` and `portion` leave out zeros at the end.
"""

import math


def number(value: float | None, digits: int = 4) -> str:
    """Return ``value`` with about ``digits`` significant digits; "–" for an unknown one.

    Example:
        >>> number(-0.283112), number(0.00001234), number(12345678.0), number(None)
        ('-0.2831', '1.23e-5', '1.23e7', '–')
    """
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3 or size >= 1e5:
        return _scientific(value, digits - 2)
    decimals = max(0, digits - 1 - max(-1, math.floor(math.log10(size))))
    return f"{value:.{min(decimals, digits)}f}"


def signed(value: float | None, digits: int = 4) -> str:
    """Return a difference with its sign.

    Example:
        >>> signed(5.81), signed(-0.25), signed(0.0), signed(float("nan"))
        ('+5.810', '-0.2500', '0', 'nan')
    """
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 else text


def percent(share: float, decimals: int = 1) -> str:
    """Return a share in percent.

    Example:
        >>> percent(0.996), percent(-0.126, 0)
        ('99.6 %', '-13 %')
    """
    text = f"{100 * share:.{decimals}f}"
    return f"{text.removeprefix('-') if not text.strip('-0.') else text} %"


def learning_rate(value: float | None) -> str:
    """Return a learning rate without needless digits.

    Example:
        >>> learning_rate(9.999999747378752e-06), learning_rate(0.01)
        ('1e-5', '0.01')
    """
    if value is None or not math.isfinite(value):
        return number(value)
    rounded = float(f"{value:.3g}")
    if rounded == 0 or 1e-3 <= abs(rounded) < 1e5:
        return f"{rounded:.6g}"
    return _scientific(rounded, 2)


def setting(value: float | None) -> str:
    """Return a number that somebody set, such as a momentum, without the noise of float32.

    Example:
        >>> setting(0.9900000095367432), setting(1e-05), setting(0.9999)
        ('0.99', '1e-5', '0.9999')
    """
    if value is None or not math.isfinite(value):
        return number(value)
    rounded = float(f"{value:.6g}")
    return f"{rounded:.6g}" if rounded == 0 or 1e-3 <= abs(rounded) < 1e5 else _scientific(rounded, 5)


def figure(value: float | str | None, digits: int = 4) -> str:
    """Return ``value`` with about ``digits`` significant digits, "–" for what is not known.

    Example:
        >>> figure(-0.283112), figure(0.00001234), figure(20000), figure("nan"), figure(None)
        ('-0.2831', '1.234e-5', '20,000', 'nan', '–')
    """
    if value is None:
        return "–"
    real = _real(value)
    if not math.isfinite(real):
        return str(real)
    sign = "-" if real < 0 else ""
    size = abs(real)
    if size == 0:
        return "0"
    if size == round(size) and size < 1e9:
        return f"{sign}{size:,.0f}"
    if size < 1e-3 or size >= 1e6:
        return sign + _scientific(size, digits - 1)
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{size:,.{decimals}f}"
    return sign + (text.rstrip("0").rstrip(".") if "." in text else text)


def signed_figure(value: float | str | None, digits: int = 4) -> str:
    """Return a difference with its sign, as `figure` writes numbers.

    Example:
        >>> signed_figure(5.75), signed_figure(-0.25), signed_figure(0.0)
        ('+5.75', '-0.25', '0')
    """
    text = figure(value, digits)
    return f"+{text}" if value is not None and _real(value) > 0 else text


def portion(share: float) -> str:
    """Return a share of one in per cent; "–" for what is not known.

    Example:
        >>> portion(0.714), portion(0.0321), portion(1e-9), portion(0)
        ('71 %', '3.2 %', '<0.1 %', '0 %')
    """
    if not math.isfinite(share):
        return "–"
    size, sign = abs(100 * share), "-" if share < 0 else ""
    if size == 0:
        return "0 %"
    if size < 0.1:
        return ">-0.1 %" if sign else "<0.1 %"
    return f"{sign}{size:.{0 if size >= 9.95 else 1}f} %"


def tick(value: float, spacing: float) -> str:
    """Return the label of an axis' tick, with as many digits as tell it from a tick ``spacing`` away.

    Example:
        >>> tick(1500, 500), tick(20000, 5000), tick(0.25, 0.05), tick(3e-5, 1e-5)
        ('1500', '20k', '0.25', '3e-5')
    """
    if abs(value) < spacing * 1e-6:
        return "0"
    exponent = math.floor(math.log10(spacing) + 1e-9)
    size = math.floor(math.log10(abs(value)) + 1e-9)
    if size >= 15 or (exponent < -4 and size < -2):
        return _scientific(value, min(6, max(0, size - exponent)))
    for power, suffix in ((9, "G"), (6, "M"), (3, "k")):
        if size > power or (size == power and exponent >= power - 1 and size >= 4):
            return f"{value / 10**power:.{min(6, max(0, power - exponent))}f}{suffix}"
    return f"{value:.{min(9, max(0, -exponent))}f}"


def count(value: int) -> str:
    """Return a count with commas between thousands.

    Example:
        >>> count(20000)
        '20,000'
    """
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Return a span of time.

    Example:
        >>> duration(7), duration(72), duration(7400), duration(200000)
        ('0:07', '1:12', '2 h 03', '2 d 07')
    """
    whole = int(min(max(0.0, seconds), 1e9))
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d}"
    return f"{whole // 86400} d {whole % 86400 // 3600:02d}"


def span(seconds: float) -> str:
    """Return a span of time in words: of less than a minute with its unit.

    Example:
        >>> span(12.3), span(72), span(7400)
        ('12 s', '1:12', '2 h 03')
    """
    return f"{int(seconds)} s" if seconds < 60 else duration(seconds)


def _real(value: float | str) -> float:
    """Return a number that may be spelled as the log spells it: "inf"; NaN for words that are not known."""
    if isinstance(value, str):
        return {"inf": math.inf, "-inf": -math.inf}.get(value, math.nan)
    return float(value)


def _scientific(value: float, decimals: int) -> str:
    mantissa, exponent = f"{value:.{max(0, decimals)}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"
