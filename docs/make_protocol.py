"""Write docs/protocol.md from the types of the facts and requests and from the command line's parsers.

The words are the docstrings of tuimon/protocol/events.py and tuimon/protocol/commands.py, read without importing them.

    python docs/make_protocol.py          writes docs/protocol.md
"""

import argparse
import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tuimon.cli.main import COMMANDS, make_parser
from tuimon.protocol.events import PROTOCOL, snake_case

ROOT = Path(__file__).parent.parent
OUTPUT = ROOT / "docs" / "protocol.md"

HEAD = f"""\
<!-- Made by docs/make_protocol.py from tuimon/protocol and tuimon/cli: change those. -->

# The protocol of a run, version {PROTOCOL}

A run is a directory, its owner's alone (0700, files 0600). There is no socket and no port.

| file | holds |
| --- | --- |
| `session.jsonl` | facts: one JSON object a line, appended by the trainer alone, under an exclusive `flock` |
| `commands/` | requests: one small JSON file each, put there by an atomic rename |
| `config.toml` | what was run, with every default filled in |
| `trainer.log` | what the training process printed |

A `Number` is a finite JSON number; what is not finite is the string `"nan"`, `"inf"` or `"-inf"`, `null`: not known.
Fields named `…_base64` hold little-endian float32. A reader skips types and fields that it does not know. It counts,
names and skips a line that is torn or that no trainer writes: a count below 0 or above 2^53, a time after the year
5138, arrays whose lengths do not fit each other, more than 32 levels of nesting. A field with a default may be missing.
A layer is named by its Keras path; globs match the path or its last part.
"""

REQUESTS = """\
A request is a file `<time in ns>-<sender's pid>-<counter>.json`, written as a dotfile in `commands/`, then renamed, so
that the requests of one sender keep their order. It is read only if it is a regular file of the trainer's own user with
one link and at most 64 KiB. The trainer takes one by renaming it, and deletes it when its answer is on disk; until it
is taken, its sender may withdraw it by deleting it. Each id is answered by exactly one `command_applied` or
`command_rejected`. What is not valid, not known or out of range is rejected in words, and training goes on.
"""

CONFIG = """\
TOML. `module:function` is looked for beside the config file, then in the working directory, then among the installed
modules. The user's own code runs only from a file that is the user's (or root's) and that nobody else can write.
`--set TABLE.KEY=VALUE` puts another value in place of the file's: a TOML value, else a string.
"""

COMMAND_LINE = """\
`RUN` is a run directory, a `session.jsonl`, or a name under the runs directory (`--runs-dir`, `$TUIMON_RUNS_DIR`,
`./runs`): of a name without its date and time, the newest run. Bad input ends in one line on stderr and exit code 2.
JSON for machines has `"version": 1`; `list --json` prints
`{"version", "runs": [{"name", "path", "state", "epoch", "step", "started", "updated", "best"}]}`, epochs from 0 and
Unix times; `best` is `{METRIC: {"value", "epoch"}}`, here and in `doctor --json`;
`send --json` prints the facts that answer, one a line.
"""


@dataclass
class Field:
    """A field of a struct."""

    name: str
    type: str
    default: str | None
    words: str


@dataclass
class Struct:
    """A class of the module, as its source has it."""

    name: str
    base: str
    words: str
    fields: list[Field] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    tag: str = ""


def structs(path: Path) -> tuple[dict[str, Struct], ast.Module]:
    """Return the classes of a module, in its order."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    found = {}
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            struct = Struct(node.name, ast.unparse(node.bases[0]), ast.get_docstring(node) or "")
            # The base has a function there, which makes the others' of their names.
            tags = [keyword.value for keyword in node.keywords if keyword.arg == "tag"]
            struct.tag = next((str(tag.value) for tag in tags if isinstance(tag, ast.Constant)), snake_case(node.name))
            _read_body(node, struct)
            found[node.name] = struct
    return found, module


def _read_body(node: ast.ClassDef, struct: Struct) -> None:
    for statement, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign):
            continue
        name, annotation = ast.unparse(statement.target), ast.unparse(statement.annotation)
        if annotation.startswith("ClassVar"):
            if statement.value is not None and ast.unparse(statement.value) == "True":
                struct.flags.add(name)
            continue
        words = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            words = str(after.value.value)
        default = ast.unparse(statement.value) if statement.value is not None else None
        if isinstance(statement.value, ast.Name) and statement.value.id.isupper():
            default = constant(statement.value.id) or default
        struct.fields.append(Field(name, annotation, default, words))


def union(module: ast.Module, name: str) -> list[str]:
    """Return the members of a union of classes, in its order."""
    for node in module.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return [part.strip() for part in ast.unparse(node.value).split("|")]
    raise LookupError(name)


def type_words(annotation: str) -> str:
    """Return a type as JSON has it."""
    tree = ast.parse(annotation, mode="eval").body
    return " or ".join(dict.fromkeys(_type_words(tree)))


def _type_words(node: ast.expr) -> Iterator[str]:
    simple = {
        "str": "string",
        "int": "integer",
        "float": "number",
        "bool": "boolean",
        "None": "null",
        "object": "any",
        "Any": "any",
    }
    match node:
        case ast.BinOp(left=left, right=ast.Attribute(attr="UnsetType")):
            yield from _type_words(left)  # The key is left out.
        case ast.BinOp(left=left, right=right):
            yield from _type_words(left)
            yield from _type_words(right)
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            yield f"array of {' or '.join(_type_words(item))}"
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[_, item])):
            yield f"object of {' or '.join(_type_words(item))}"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=choices)):
            yield from (f'`"{ast.literal_eval(choice)}"`' for choice in choices)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Constant(value=choice)):
            yield f'`"{choice}"`'
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[item, *_])):
            yield from _type_words(item)
        case ast.Name(id="Pattern"):
            yield "glob"
        case ast.Name(id="Reference"):
            yield "string"
        case ast.Name(id="Count" | "Whole"):
            yield "integer"
        case ast.Name(id="Seconds" | "UnixTime"):
            yield "number"
        case _:
            name = ast.unparse(node)
            yield simple.get(name, f"`{name}`")


def constant(name: str) -> str | None:
    """Return the value of a constant of tuimon/protocol/values.py; None where it has no such constant."""
    tree = ast.parse((ROOT / "tuimon" / "protocol" / "values.py").read_text(encoding="utf-8"))
    values = (node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name)
    return next(map(ast.unparse, values), None)


def table(fields: list[Field], *, defaults: bool = False) -> str:
    """Return the fields as a table."""
    if not fields:
        return ""
    rows = (
        ["| key | type | default | |", "| --- | --- | --- | --- |"]
        if defaults
        else ["| field | type | |", "| --- | --- | --- |"]
    )
    for item in fields:
        words = " ".join(item.words.replace("|", "\\|").split())
        kind = type_words(item.type)
        if defaults:
            kind = kind.removesuffix(" or null")  # TOML has no null: the key is left out
            default = {None: "needed", "None": "", '""': "", "False": "`false`", "True": "`true`"}.get(
                item.default, f"`{item.default}`"
            )
            kind += f" | {default.replace(chr(39), chr(34))}"
        rows.append(f"| `{item.name}` | {kind} | {words} |")
    return "\n".join(rows) + "\n"


def facts() -> Iterator[str]:
    """Yield the section on the facts."""
    found, module = structs(ROOT / "tuimon" / "protocol" / "events.py")
    names = union(module, "AnyEvent")
    yield "## Facts: the lines of session.jsonl\n"
    yield f"{found['Event'].words} `type` is its name.\n"
    yield table(found["Event"].fields)
    for name in names:
        struct = found[name]
        kept = "Dropped last. " if "must_keep" in struct.flags else ""
        at_once = "Written at once." if "urgent" in struct.flags else ""
        yield f"### `{struct.tag}`\n"
        yield f"{struct.words}{' ' if kept or at_once else ''}{(kept + at_once).strip()}\n"
        yield table(struct.fields)
    yield "### Parts of facts\n"
    for struct in found.values():
        if struct.name not in names and struct.name != "Event":
            yield f"#### `{struct.name}`\n"
            yield struct.words + "\n"
            yield table(struct.fields)


def requests() -> Iterator[str]:
    """Yield the section on the requests."""
    found, module = structs(ROOT / "tuimon" / "protocol" / "commands.py")
    yield "## Requests: the files of commands/\n"
    yield REQUESTS
    yield "Every request has `command`, its name, and:\n"
    yield table(found["Request"].fields)
    for name in union(module, "AnyRequest"):
        yield f"### `{found[name].tag}`\n"
        yield found[name].words + "\n"
        yield table(found[name].fields)


def config() -> Iterator[str]:
    """Yield the section on the config file."""
    found, _ = structs(ROOT / "tuimon" / "launch" / "config.py")
    yield "## The config file of tuimon run\n"
    yield CONFIG
    for name, tables in {
        "Run": "`[run]`",
        "Build": "`[model]`, `[data]`",
        "Training": "`[training]`",
        "Monitor": "`[monitor]`",
    }.items():
        yield f"### {tables}\n"
        yield found[name].words + "\n"
        yield table(found[name].fields, defaults=True)
    # The settings of the user have the same table.
    alerts = structs(ROOT / "tuimon" / "settings.py")[0]["Alerts"]
    yield "### `[alerts]`\n"
    yield f"{alerts.words} The user's settings unless set; [alerts.md](alerts.md) has examples.\n"
    rows = table(alerts.fields, defaults=True).replace("array of `Happened`", "array of string")
    yield re.sub(r"`msgspec\.field\(.*?HAPPENED\)\)`", "all of them", rows)


def command_line() -> Iterator[str]:
    """Yield the section on the command line."""
    yield "## The command line\n"
    yield COMMAND_LINE
    for name, parser in _subparsers(make_parser()).items():
        yield f"### `{_usage(f'tuimon {name}', parser)}`\n"
        yield f"{parser.description}\n"
        yield _options(parser)
        for request, inner in _subparsers(parser).items():
            yield f"- `{_usage(request, inner)}`: {inner.description}"
        if _subparsers(parser):
            yield ""
    assert set(COMMANDS) == set(_subparsers(make_parser()))


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield action


def _usage(name: str, parser: argparse.ArgumentParser) -> str:
    # argparse's own usage depends on the terminal's width and on Python's version.
    positional, optional = [], []
    for action in _arguments(parser):
        value = _value(action)
        if not action.option_strings:
            positional.append(f"[{value}]" if action.nargs == "?" else value)
        elif name.startswith("tuimon") or action.dest not in ("timeout", "json"):
            words = " ".join(filter(None, (action.option_strings[0], value)))
            repeated = "…" if isinstance(action, argparse._AppendAction) else ""
            optional.append(words if action.required else f"[{words}]{repeated}")
    return " ".join([name, *positional, *optional])


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action, argparse._SubParsersAction):
        return f"{action.metavar} [ARGS]"
    if action.metavar:
        return str(action.metavar)
    if action.choices:
        return "|".join(map(str, action.choices))
    return action.dest.upper()


def _options(parser: argparse.ArgumentParser) -> str:
    lines = []
    for action in _arguments(parser):
        if action.help and not isinstance(action, argparse._SubParsersAction):
            name = " ".join(filter(None, (*action.option_strings[:1], _value(action))))
            lines.append(f"- `{name}`: {action.help}")
    return "\n".join(lines) + "\n" if lines else ""


def document() -> str:
    """Return the whole page."""
    parts = [HEAD, *facts(), *requests(), *config(), *command_line()]
    return "\n".join(part for part in parts if part is not None).rstrip() + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(document(), encoding="utf-8")
