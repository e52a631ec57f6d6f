"""Runs in which every text that comes from outside holds what a terminal would obey."""

import os
import types
from pathlib import Path
from typing import Any

import msgspec

from helpers import a_run, encode_log
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory

EVIL = "e\x1b]0;PWNED\x07\x1b[31m\x9b31m\x7f\u202e\x85\x08\rv"
"""Sets a title, changes colours (twice, once by one character), deletes, turns the direction, goes back."""


def hostile(kind: msgspec.inspect.Type) -> Any:  # noqa: PLR0911 - one for each kind
    """Return a value of a type, with hostile texts wherever the type has any text."""
    match kind:
        case msgspec.inspect.StrType():
            return EVIL
        case msgspec.inspect.LiteralType(values=values):
            return values[0]
        case msgspec.inspect.ListType(item_type=item) | msgspec.inspect.CollectionType(item_type=item):
            return [hostile(item)]
        case msgspec.inspect.VarTupleType(item_type=item):
            return [hostile(item)]
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return {hostile(key): hostile(value)}
        case msgspec.inspect.StructType(fields=fields):
            return {field.encode_name: hostile(field.type) for field in fields}
        case msgspec.inspect.UnionType(types=kinds):
            order = (msgspec.inspect.FloatType, msgspec.inspect.IntType, msgspec.inspect.StructType)
            chosen = next((each for kind in order for each in kinds if isinstance(each, kind)), kinds[0])
            return hostile(chosen)
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.NoneType():
            return None
        case msgspec.inspect.AnyType():
            return EVIL
    return 1


def facts() -> list[dict[str, Any]]:
    """Return one fact of each type as fields of JSON."""
    found = []
    for kind in AnyKinds:
        info = msgspec.inspect.type_info(kind)
        assert isinstance(info, msgspec.inspect.StructType)
        found.append({"type": str(info.tag), **hostile(info)})
    # What a run ends with comes last: else it would go on for ever.
    return sorted(found, key=lambda fact: fact["type"] == "run_ended")


AnyKinds: tuple[type, ...] = events.AnyEvent.__args__ if isinstance(events.AnyEvent, types.UnionType) else ()


def hostile_run(runs: Path, *, ends: bool = True) -> RunDirectory:
    """Make a run with hostile facts among those of a usual run, hostile files, and a hostile name."""
    run = RunDirectory.at(runs / f"20260101-000000-{EVIL}")
    lines = encode_log(a_run() if ends else a_run()[:-1]).splitlines(keepends=True)
    for place, fact in enumerate(facts()):
        if fact["type"] in ("run_ended",) and not ends:
            continue
        fact.update(seq=100 + place, time=2000.0 + place, step=4, epoch=1)
        lines.append(msgspec.json.encode(fact) + b"\n")
    run.session_log.write_bytes(b"".join(lines))
    os.utime(run.session_log, (1000, 1000))
    (run.path / "tags.json").write_bytes(msgspec.json.encode({"tags": [EVIL, "best"], "note": EVIL}))
    run.config.write_text('[model]\nbuild = "a:b"\nname = "e\\u001b]0;PWNED\\u0007\\u009b31m"\n"k\\u001b[31m" = 1\n')
    run.trainer_log.write_bytes(f"{EVIL}\n".encode() * 3 + b"\x1b[31m\x9b raw\n")
    (run.path / f"other-{EVIL}").write_text("")
    return run


def obeyed(text: str) -> list[str]:
    """Return the characters of a text that a terminal would obey."""
    return sorted(
        {c for c in text if (ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or c in "\u202e\u2066\u200f"}
    )
