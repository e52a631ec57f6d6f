"""What docs/ask-from-the-shell.md and docs/notebooks.md show is so, of the recorded sessions."""

import importlib.util
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ROOT, make_run
from tuimon.cli.main import main


@pytest.fixture
def recorded(runs: Path) -> Iterator[Path]:
    """Yield a runs directory with the recorded sessions, in a place whose time is UTC."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    for name, file in (("finetune", "finetune_one_sample"), ("real-vs-fake", "real_vs_fake")):
        run = make_run(runs, [], name)
        shutil.copyfile(ROOT / "docs" / "recorded" / f"{file}.jsonl", run.session_log)
    # The newest is the one that ended last.
    for name, when in (("finetune", "2026-11-21 14:51:02"), ("real-vs-fake", "2026-11-21 15:07:49")):
        os.utime(runs / name / "session.jsonl", (time.mktime(time.strptime(when, "%Y-%m-%d %H:%M:%S")),) * 2)
    yield runs
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def asked() -> list[tuple[str, str]]:
    """Return each command of the page with the lines that it is said to print."""
    found = []
    for block in blocks("ask-from-the-shell.md", "console"):
        for part in block.split("$ ")[1:]:
            command, _, answer = part.partition("\n")
            found.append((command, answer))
    return found


@pytest.mark.parametrize(("line", "answer"), asked())
@pytest.mark.usefixtures("recorded")
def test_a_command_prints_what_the_page_shows(line: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(line)
    assert program == "tuimon"
    code = main(arguments)
    printed = capsys.readouterr()
    said = printed.out if code == 0 else printed.err
    assert code == (2 if answer.startswith("tuimon: ") else 0)
    if "…\n" not in answer:
        assert said == answer
    for part in answer.split("…\n"):
        assert part in said


@pytest.mark.usefixtures("recorded")
def test_the_lines_for_a_notebook_run(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    found = blocks("notebooks.md", "py")
    assert len(found) == 5
    for block in found:
        if "to_pandas" not in block or importlib.util.find_spec("pandas") is not None:
            exec(block, names)
    assert capsys.readouterr().err == ""
