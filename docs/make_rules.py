"""Write docs/rules.md from the docstrings of the rules in tuimon/diagnosis, read without importing them.

python docs/make_rules.py          writes docs/rules.md
"""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
RULES = ROOT / "tuimon" / "diagnosis"
OUTPUT = ROOT / "docs" / "rules.md"

HEAD = """\
<!-- Made by docs/make_rules.py from the docstrings in tuimon/diagnosis: change those. -->

# The rules of the diagnosis

Each is a function of what a run's log adds up to. They are looked at while it trains, when their part of `overhead`
allows it (an `alert` is recorded once for each rule and layer, until it is gone), and by `tuimon doctor RUN` over the
whole log. Of each there is a training with that fault in `tests/diagnosis`, on which this rule fires and no other, and
healthy runs of several kinds on which none does.
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


def text() -> str:
    """Return the whole document."""
    parts = [HEAD]
    for rule in sorted(rules(), key=lambda rule: rule.number):
        parts.append(f"## R{rule.number}: {rule.title.rstrip('.')}\n\n{rule.words}\n")
        if rule.constants:
            values = ", ".join(f"`{name}` = {value}" for name, value in rule.constants.items())
            parts.append(f"{values}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
