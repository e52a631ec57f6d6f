"""Shortens names that stand below each other, so that they can still be told apart."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import takewhile

from tuimon.ui.drawing.cells import cell_width, fit, fit_end

_JOINTS = "/_.-"
"""Where the parts of a name meet."""


def short_names(names: Sequence[str], joint: str = "-") -> list[str]:
    """Return names without the parts that are the same in all of them: what is left tells the runs of a sweep apart.

    Example:
        >>> short_names(["20261121-101500-sweep", "20261121-113000-sweep", "20261121-120000-sweep-2"])
        ['101500-sweep', '113000-sweep', '120000-sweep-2']
        >>> short_names(["20261121-101500-sweep", "20261121-113000-sweep"]), short_names(["20261121-101500-sweep"])
        (['101500', '113000'], ['20261121-101500-sweep'])
    """
    if len(set(names)) < 2:
        return list(names)
    parts = [name.split(joint) for name in names]
    begin, end = _alike(parts), _alike([each[::-1] for each in parts])
    if begin + end >= min(map(len, parts)):
        end = 0
    return [joint.join(each[begin : len(each) - end]) or name for each, name in zip(parts, names, strict=True)]


def without_shared_path(names: Sequence[str]) -> list[str]:
    """Return paths without the directories in which all of them are: the name of the model, say.

    Example:
        >>> without_shared_path(["model/block_1/bn", "model/block_2/bn"]), without_shared_path(["model/bn"])
        (['block_1/bn', 'block_2/bn'], ['model/bn'])
    """
    if len(set(names)) < 2:
        return list(names)
    begin = _alike([name.split("/") for name in names])
    return [name.split("/", begin)[begin] for name in names]


@lru_cache(maxsize=32)
def fit_apart(names: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Return names in at most ``width`` cells each. What is cut out is, where possible, what they share.

    They are cut at the beginning if they differ at the end, at the end if they differ there no more, and else in the
    middle.

    Example:
        >>> fit_apart(("net/block1a_project_conv_bn", "net/block2b_project_conv_bn"), 14)
        ('block1a_proje…', 'block2b_proje…')
        >>> fit_apart(("sequential/bn_1", "sequential/bn_2"), 10)
        ('bn_1', 'bn_2')
    """
    if all(cell_width(name) <= width for name in names):
        return names
    short = without_shared_path(names)
    if all(cell_width(name) <= width for name in short):
        return tuple(short)
    begin = _shared_beginning(short)
    ways: tuple[Callable[[str], str], ...] = (
        lambda name: fit_end(name, width),
        lambda name: fit(f"…{name[begin:]}" if begin > 1 and cell_width(name) > width else name, width),
        lambda name: _fit_middle(name, width),
        lambda name: _fit_middle(f"…{name[begin:]}" if begin > 1 and cell_width(name) > width else name, width),
    )
    fitted = [tuple(map(way, short)) for way in ways]
    return max(fitted, key=lambda each: len(set(each)))


def _shared_beginning(names: Sequence[str]) -> int:
    """Return how many characters all names share at the beginning, up to the last joint among them."""
    # What the first and the last name in the order of the alphabet share, all between them share.
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    return max((place for place, (character, _) in enumerate(pairs, start=1) if character in _JOINTS), default=0)


def _fit_middle(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, cut in its middle."""
    if cell_width(text) <= width or width < 3:
        return fit(text, width)
    end = (width - 1) // 2
    return fit(text, width - end) + fit_end(text, end + 1)[1:]


def _alike(parts: Sequence[Sequence[str]]) -> int:
    """Return how many of the first parts are the same everywhere; the last one of any is not looked at."""
    most = min(map(len, parts)) - 1
    return next((place for place in range(most) if len({each[place] for each in parts}) > 1), most)
