"""Damages logs at random, by a seed: values, types, lines, bytes."""

import copy
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from fuzz.logs import Line

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 7, 0.0, -0.0, 0.5, 1e-3, 1e-45, 5e-324, -5e-324, 1e-300, 1e38, 3.5e38, -1e38, 1e300, 1.7e308),
    *(-1.7e308, "nan", "inf", "-inf", None, -5e9, 255, 65536, 2**31, -(2**31), 2**53, 2**53 - 1, 2**63, 2**64),
    *(-(2**63), 1e10, 1e11, 1e18, 9_999_999_999, True),
)
TEXTS = (
    *("", " ", "a\nb", "\x1b[31mred\x1b[0m", "[red]x[/red] [@click=app.bell]y[/]", "\u202egnp.exe", "\u0000", "\ufffd"),
    *(
        "漢字" * 40,
        "e\u0301" * 50,
        "👩‍👩‍👧‍👦" * 20,
        "x" * 10_000,
        "a/b/" * 300,
        "val_",
        "loss",
        "val_loss",
        "val_val_loss",
    ),
    *("training", "inference", "frozen", "paused", "finished", "failed", "crashed", "nowhere", "R1", "R99", "info"),
    *(
        "*",
        "[",
        "bn_[",
        "../..",
        "%s%d{}",
        "nan",
        "AAAA",
        "AAAAA===",
        "!",
        "gap",
        "undo-3-x",
        "undo-" + "9" * 19 + "-x",
    ),
)
Path = tuple[Any, ...]


def leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the way to each value that holds no others, and to each that does."""
    if path:
        yield path
    if isinstance(value, dict):
        for key in value:
            yield from leaves(value[key], (*path, key))
    elif isinstance(value, list):
        for place in range(min(len(value), 12)):
            yield from leaves(value[place], (*path, place))


def put(line: Any, path: Path, change: Callable[[Any], Any]) -> None:
    """Change the value at a path, where there is one."""
    for key in path[:-1]:
        try:
            line = line[key]
        except (KeyError, IndexError, TypeError):
            return
    try:
        line[path[-1]] = change(line[path[-1]])
    except (KeyError, IndexError, TypeError):
        return


class Damage:
    """Makes damaged logs of whole ones, the same ones for the same seed.

    Args:
        seed: Of the random numbers.
        logs: The whole ones.
    """

    def __init__(self, seed: int, logs: list[list[Line]]) -> None:
        self._random = random.Random(seed)
        self._logs = logs

    def log(self) -> bytes:
        """Return a log with one to six damages of lines, and now and then of bytes."""
        lines = copy.deepcopy(self._random.choice(self._logs))
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 6))):
            if lines:
                self._random.choice(self._KINDS)(self, lines)
        data = b"".join(self._encoded(line) + b"\n" for line in lines)
        return self._bytes(data) if self._random.random() < 0.15 else data

    def _encoded(self, line: Line) -> bytes:
        return json.dumps(line, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "replace")

    def _path(self, lines: list[Line]) -> tuple[Line, Path]:
        # Rare kinds of facts as often as those of which there are many.
        kind = self._random.choice(sorted({str(line.get("type")) for line in lines}))
        line = self._random.choice([line for line in lines if str(line.get("type")) == kind])
        paths = list(leaves(line)) or [("type",)]
        if self._random.random() < 0.7:
            # Each name as often as the others, however many values it has.
            name = self._random.choice(sorted({str(path[0]) for path in paths}))
            paths = [path for path in paths if str(path[0]) == name]
            last = self._random.choice(sorted({str(path[-1]) for path in paths}))
            paths = [path for path in paths if str(path[-1]) == last]
        return line, self._random.choice(paths)

    def _value(self, old: Any) -> Any:
        chance = self._random.random()
        if chance < 0.1:
            return self._random.choice(([], {}, [[]], {"": ""}, [1, 2, 3], [None] * 7, {"loss": 1.0}, False))
        if isinstance(old, str):
            return self._random.choice(TEXTS if chance < 0.85 else NUMBERS)
        if isinstance(old, list) and old:
            return self._random.choice((old[:-1], old * 2, old[:1], old[::-1], [*old, old[0]], [*old[1:], None]))
        if isinstance(old, dict) and old:
            return self._renamed(old)
        return self._random.choice(NUMBERS if chance < 0.9 else TEXTS)

    def _renamed(self, old: dict[str, Any]) -> dict[str, Any]:
        names = list(old)
        renamed = self._random.choice(names)
        if self._random.random() < 0.1:
            return {f"metric {number}": old[renamed] for number in range(self._random.choice((40, 2000)))}
        if self._random.random() < 0.3:
            return {name: old[name] for name in names if name != renamed}
        return {self._random.choice(TEXTS) if name == renamed else name: old[name] for name in names}

    def _one_value(self, lines: list[Line]) -> None:
        line, path = self._path(lines)
        put(line, path, self._value)

    def _everywhere(self, lines: list[Line]) -> None:
        """Change the same value in all lines of a type, or from one of them on."""
        line, path = self._path(lines)
        alike = [other for other in lines if other.get("type") == line.get("type")]
        alike = alike[self._random.choice((0, 0, len(alike) // 2)) :]
        value = self._random.choice(NUMBERS if self._random.random() < 0.8 else TEXTS)
        factor = self._random.choice((1e-45, 1e-300, -1, 0, 1e30, 1e300, 1 + 1e-16))

        def scaled(old: Any) -> Any:
            return old * factor if type(old) is float else value

        change = scaled if self._random.random() < 0.5 else lambda _: value
        for other in alike:
            put(other, path, change)

    def _scaled(self, lines: list[Line]) -> None:
        """Scale every number that is no count, of one type of facts or of all."""
        kind, factor = self._random.choice(lines).get("type"), self._random.choice((1e-45, 1e-310, 0, -1, 1e38, 1e300))
        for line in lines:
            if line.get("type") == kind or self._random.random() < 0.1:
                for path in list(leaves(line)):
                    if path[0] not in ("time", "seq", "step", "epoch"):
                        put(line, path, lambda old: old * factor if type(old) is float else old)

    def _envelope(self, lines: list[Line]) -> None:
        """Let step, epoch, time or number go wrong from one line on."""
        name = self._random.choice(("step", "epoch", "time", "seq", "branch", "first_step"))
        by = self._random.choice((-1, 1, -5, 3600, -3600, -1e6, 10**6, -(10**9), 2**52, 2**60))
        start = self._random.randrange(len(lines))
        end = self._random.choice((start + 1, len(lines)))
        for line in lines[start:end]:
            if isinstance(line.get(name), int | float):
                line[name] += by if name == "time" else int(by)

    def _drop(self, lines: list[Line]) -> None:
        start = self._random.randrange(len(lines))
        del lines[start : start + self._random.choice((1, 1, 5, 30))]

    def _drop_key(self, lines: list[Line]) -> None:
        line, path = self._path(lines)
        for key in path[:-1]:
            line = line[key]
        if isinstance(line, dict):
            line.pop(path[-1], None)

    def _double(self, lines: list[Line]) -> None:
        start = self._random.randrange(len(lines))
        part = copy.deepcopy(lines[start : start + self._random.choice((1, 1, 4, 40))])
        place = self._random.choice((start, start + len(part), self._random.randrange(len(lines) + 1)))
        lines[place:place] = part

    def _swap(self, lines: list[Line]) -> None:
        kind = self._random.choice(lines).get("type")
        places = [place for place, line in enumerate(lines) if line.get("type") == kind or self._random.random() < 0.05]
        one, other = self._random.choice(places), self._random.choice(places)
        lines[one], lines[other] = lines[other], lines[one]

    def _shuffle(self, lines: list[Line]) -> None:
        start = self._random.randrange(len(lines))
        part = lines[start : start + self._random.choice((4, 20, 200))]
        self._random.shuffle(part)
        lines[start : start + len(part)] = part

    def _nested(self, lines: list[Line]) -> None:
        line, path = self._path(lines)
        deep: Any = 1
        for _ in range(self._random.choice((5, 40, 150))):
            deep = self._random.choice(([deep], {"a": deep}))
        put(line, path, lambda _: deep)

    def _transplanted(self, lines: list[Line]) -> None:
        """Put a line of another log in."""
        other = self._random.choice(self._logs)
        lines.insert(self._random.randrange(len(lines) + 1), copy.deepcopy(self._random.choice(other)))

    def _moved(self, lines: list[Line]) -> None:
        line = lines.pop(self._random.randrange(len(lines)))
        lines.insert(self._random.randrange(len(lines) + 1), line)

    def _another_model(self, lines: list[Line]) -> None:
        """Tell the model again, without some of its layers, or with others."""
        for line in [line for line in lines if line.get("type") == "model_built"][:1]:
            other = copy.deepcopy(line)
            layers = other.get("batch_norm_layers")
            if isinstance(layers, list) and layers:
                for layer in layers:
                    if isinstance(layer, dict) and self._random.random() < 0.5:
                        layer["trainable"] = self._random.random() < 0.5
                        layer["momentum"] = self._random.choice((0.99, 0.0, 1.0, -5e9, 2.0, 1e-300))
                del layers[self._random.randrange(len(layers))]
            for again in (other, copy.deepcopy(line))[: self._random.choice((1, 2))]:
                lines.insert(self._random.randrange(len(lines) + 1), again)

    def _gap_of_zero(self, lines: list[Line]) -> None:
        for line in lines:
            if line.get("type") == "probe":
                for name in ("gap", "batch_norm", "stochastic", "other"):
                    if self._random.random() < 0.5:
                        line[name] = self._random.choice((0, 0.0, 5e-324, "nan", -0.0, 1e308))

    _KINDS: tuple[Callable[["Damage", list[Line]], None], ...] = (
        *(_one_value, _one_value, _one_value, _one_value, _everywhere, _everywhere, _everywhere, _scaled, _envelope),
        *(_drop, _drop_key, _double, _swap, _shuffle, _nested, _transplanted, _gap_of_zero, _moved, _another_model),
    )

    def _bytes(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.choice((1, 3, 20))):
            place = self._random.randrange(len(changed))
            match self._random.randrange(5):
                case 0:
                    changed[place] ^= 1 << self._random.randrange(8)
                case 1:
                    del changed[place : place + self._random.choice((1, 50, 4096))]
                case 2:
                    changed[place:place] = self._random.choice(
                        (b"\0" * 4096, b"\n", b"\r", b"\xff\xfe", b"[" * 3000, b"9" * 5000, b'"', b"\\ud800", b"{}\n")
                    )
                case 3:
                    changed[place : place + 40] = bytes(self._random.randrange(256) for _ in range(40))
                case _:
                    del changed[-self._random.randrange(1, 200) :]
            if not changed:
                break
        return bytes(changed)
