"""The house rules that no linter knows: how long a module, a class and a function may be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ROOT

MODULE_LINES, CLASS_METHODS, FUNCTION_LINES, FOLDER_MODULES = 400, 25, 50, 20
PRODUCT = sorted((ROOT / "tuimon").rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef


def excused(lines: list[str], line: int) -> bool:
    """Return whether the comment above a line says why what follows reads better whole."""
    above = lines[line - 2].strip() if line >= 2 else ""
    return above.startswith("# Whole: ")


def length(function: Function) -> int:
    """Return a function's lines without its docstring."""
    assert function.end_lineno is not None
    first = function.body[0]
    has_docstring = ast.get_docstring(function, clean=False) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring and first.end_lineno is not None else 0
    return function.end_lineno - function.lineno + 1 - docstring


def too_long(path: Path) -> Iterator[str]:
    """Yield what is longer in a module than it may be."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > MODULE_LINES and not any(line.startswith("# Whole: ") for line in lines[:60]):
        yield f"the module has {len(lines)} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function) and length(node) > FUNCTION_LINES and not excused(lines, node.lineno):
            yield f"{node.name} has {length(node)} lines"
        if isinstance(node, ast.ClassDef) and not excused(lines, node.lineno - len(node.decorator_list)):
            methods = sum(isinstance(each, Function) for each in node.body)
            if methods > CLASS_METHODS:
                yield f"{node.name} has {methods} methods"


@pytest.mark.parametrize("path", PRODUCT, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_class_or_function_is_too_long(path: Path) -> None:
    assert list(too_long(path)) == []


def test_what_is_too_long_is_found(tmp_path: Path) -> None:
    body = "\n".join(["    pass"] * 51)
    methods = "\n".join(f"    def f{number}(self): ..." for number in range(26))
    module = tmp_path / "module.py"
    module.write_text(
        f"def long():\n{body}\n\n\n# Whole: it is a list.\ndef list_():\n{body}\n\n\nclass Many:\n{methods}\n"
    )
    assert list(too_long(module)) == ["long has 52 lines", "Many has 26 methods"]
    module.write_text("\n" * 401)
    assert list(too_long(module)) == ["the module has 401 lines"]


def test_no_folder_holds_more_modules_than_can_be_seen_at_a_glance() -> None:
    folders = {path.parent for path in PRODUCT}
    crowded = {folder: sum(path.parent == folder for path in PRODUCT) for folder in folders}
    assert max(crowded.values()) <= FOLDER_MODULES, crowded
