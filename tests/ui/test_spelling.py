"""Numbers are spelled in one way on every screen, in the doctor's page, and in lines."""

import re
import shutil
from pathlib import Path

import pytest

from helpers import ROOT
from tuimon.cli.main import main
from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.viewer.replay_clock import ReplayClock
from ui.watching import press, text, until, watching

SIZE = 160, 45
SESSIONS = ("finetune_one_sample", "real_vs_fake")
COUNTED = "steps?|epochs?|batches|examples|parameters"
OTHERWISE = {
    "another minus": "\N{MINUS SIGN}",
    "no blank before the percent sign": r"\d%",
    "zeros or a plus in the exponent": r"\de[+-]?0|\de\+",
    "a learning rate with zeros behind it, or in digits that have to be counted": r"\blr (?:0\.\d*0(?!\d)|0\.000)",
    "digits that are noise": r"\d\.\d{9}",
    "thousands that are not put apart": rf"(?:{COUNTED}) \d{{4,}}(?![\d.])|\b\d{{4,}} (?:{COUNTED})",
}
"""Spellings that `tuimon.numbers` has no room for."""
NOT_OURS = re.compile(r"^\s*(?:│\s*)?(?:command|host|pid|path|note)\b")
"""Lines that hold what the user wrote."""


def spelled_otherwise(page: str) -> list[str]:
    lines = [line for line in page.splitlines() if not NOT_OURS.match(line)]
    return [f"{what}: {line}" for what, pattern in OTHERWISE.items() for line in lines if re.search(pattern, line)]


@pytest.fixture(params=SESSIONS)
def run(request: pytest.FixtureRequest, runs: Path) -> RunDirectory:
    recorded = RunDirectory.at(runs / "recorded")
    shutil.copyfile(ROOT / "docs" / "recorded" / f"{request.param}.jsonl", recorded.session_log)
    return recorded


def test_every_wrong_spelling_is_found() -> None:
    wrong = (
        "\N{MINUS SIGN}6.1",
        "12% left",
        "lr 1e-05",
        "lr 0.0010",
        "lr 0.0001",
        "loss 1.2e+03",
        "0.9900000095",
        "step 20000",
        "20000 steps",
    )
    assert all(spelled_otherwise(text) for text in wrong)
    assert not spelled_otherwise("-6.1  12 %  lr 1e-5  lr 0.001  1.2e3  0.99  step 20,000  20,000 steps  2026-01-01")


@pytest.mark.parametrize("arguments", ["doctor recorded", "watch recorded", "list"])
def test_pages_and_lines(run: RunDirectory, arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(arguments.split())
    page = capsys.readouterr().out
    assert len(page) > 100
    assert spelled_otherwise(page) == []


async def test_screens(run: RunDirectory) -> None:
    clock = ReplayClock()
    async with watching(run, SIZE, replay=clock) as (app, pilot):
        app.viewer.fold(clock.to_end())
        for key in "23456781":
            before = text(app)
            await press(pilot, key)
            await until(pilot, lambda before=before: text(app) != before, f"what {key} opens")  # type: ignore[misc]
            assert spelled_otherwise(text(app)) == [], f"after {key}"
