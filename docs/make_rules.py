"""Write docs/rules.md from the docstrings of the rules in tuimon/diagnosis, read without importing them.

python docs/make_rules.py          writes docs/rules.md

Its last section is measured: tests/diagnosis/test_rules.py makes it where it trained all runs (`make test-all`).
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULES = ROOT / "tuimon" / "diagnosis"
OUTPUT = ROOT / "docs" / "rules.md"

HEAD = """\
<!-- Made by docs/make_rules.py from the docstrings in tuimon/diagnosis: change those. `make test-all` measures the
last section (tests/diagnosis). -->

# The rules of the diagnosis

Each is a function of what a run's log adds up to. They are looked at while it trains, when their part of `overhead`
allows it (an `alert` is recorded once for each rule and layer, until it is gone), and by `tuimon doctor RUN` over the
whole log. Of each there is a training with that fault in `tests/diagnosis`, on which this rule fires and no other, and
healthy runs of every kind on which none does: [what was tried](#what-was-tried) has them all.
"""

TRIED = "## What was tried\n"
"""Begins the section that is measured."""

MEASURED = """\
Measured by `make test-all`: {runs} small models, each trained with `model.fit` under a Monitor, or in a loop of its
own. Of the {healthy} in good health, {alarms}, at the end of the log or on the way.

A run is **not examined** if a rule that matters could not look; that rule is named. The numbers of the first table
are runs on which the rule does not fire.
"""


@dataclass(frozen=True)
class Rule:
    """A rule, or one way of it."""

    number: int
    title: str
    words: str
    constants: dict[str, str]
    """Those that the words name, with their values."""


def rules() -> Iterator[Rule]:
    """Yield all rules, as the modules have them."""
    for path in sorted(RULES.glob("*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        constants = {
            ast.unparse(node.targets[0]): ast.unparse(node.value)
            for node in module.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).isupper()
        }
        for node in module.body:
            words = ast.get_docstring(node) if isinstance(node, ast.FunctionDef) else None
            found = re.match(r"R(\d+): (.*?)(?:\n\n|$)", words or "", flags=re.DOTALL)
            if found and words:
                rest = words[found.end() :].strip()
                named = {name: constants[name] for name in re.findall(r"`([A-Z_]+)`", rest) if name in constants}
                yield Rule(int(found[1]), " ".join(found[2].split()), inspect.cleandoc(rest), named)


@dataclass(frozen=True)
class Tried:
    """A run that was trained, and what the doctor says of it."""

    name: str
    """What it is, in words."""
    verdict: str
    """Findings, healthy or not examined."""
    fired: tuple[str, ...]
    """The rules that fired, as they are shown."""
    outcomes: Mapping[str, str]
    """By number of the rule, what came of it: fired, quiet, beside or blind."""
    missing: tuple[str, ...] = ()
    """Rules that could not look, and without which a run is not called healthy; empty where it is not asked."""
    alarms: tuple[str, ...] = ()
    """Rules that fired at some point of the log."""


def tried(groups: Mapping[str, Sequence[Tried]], names: Mapping[str, str]) -> str:
    """Return the section that is measured.

    Args:
        groups: The runs, by what they were made to be; the first are those in good health.
        names: By number of the rule, what it looks for.
    """
    healthy, *_ = groups.values()
    false = sum(bool(run.alarms) for run in healthy)
    runs = [run for group in groups.values() for run in group]
    alarms = f"{false} made a rule fire" if false else "none made any rule fire"
    parts = [MEASURED.format(runs=len(runs), healthy=len(healthy), alarms=alarms)]
    parts.append(
        _table(
            ["rule", "fires on", "found nothing", "nothing to look at", "could not look"],
            [_of_rule(*rule, runs) for rule in names.items()],
        )
    )
    for group, members in groups.items():
        rows = [[run.name, _verdict(run), ", ".join(run.fired) or "–"] for run in members]
        parts.append(f"### {group}: {len(members)} runs\n\n" + _table(["run", "verdict", "rules that fired"], rows))
    return "\n".join([TRIED, *parts])


def _of_rule(rule: str, name: str, runs: Sequence[Tried]) -> list[str]:
    outcomes = [run.outcomes.get(rule, "") for run in runs]
    fires = [run.name for run, outcome in zip(runs, outcomes, strict=True) if outcome == "fired"]
    counts = (str(outcomes.count(outcome)) for outcome in ("quiet", "beside", "blind"))
    return [f"{rule}: {name}", "; ".join(fires) or "–", *counts]


def _verdict(run: Tried) -> str:
    return f"{run.verdict} ({', '.join(run.missing)})" if run.missing else run.verdict


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def text(measured: str = "") -> str:
    """Return the whole document.

    Args:
        measured: Its last section; by default the one that the document has.
    """
    _, begin, rest = OUTPUT.read_text(encoding="utf-8").partition(TRIED)
    parts = [HEAD]
    for rule in sorted(rules(), key=lambda rule: rule.number):
        parts.append(f"## R{rule.number}: {rule.title.rstrip('.')}\n\n{rule.words}\n")
        if rule.constants:
            values = ", ".join(f"`{name}` = {value}" for name, value in rule.constants.items())
            parts.append(f"{values}\n")
    return "\n".join([*parts, measured or begin + rest]).rstrip("\n") + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
