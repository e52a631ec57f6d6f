"""The pictures in the docs are what the screens show: they are the snapshots."""

import tempfile
import time
from pathlib import Path

import pytest

from helpers import ROOT, script

PICTURES = script("docs/make_screenshot.py")


@pytest.mark.parametrize("name", PICTURES.SCREENS)
async def test_a_picture_is_what_the_screen_shows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        # Its path is in a picture: not a long one.
        with tempfile.TemporaryDirectory() as directory:
            monkeypatch.chdir(directory)
            PICTURES.prepare(Path(directory))
            now = (await PICTURES.draw(*PICTURES.SCREENS[name])).splitlines()
    finally:
        monkeypatch.undo()
        time.tzset()
    before = (ROOT / "docs" / f"{name}.svg").read_text(encoding="utf-8").splitlines()
    assert len(before) > 100
    assert now == before, "other than in the docs; if it is meant: python docs/make_screenshot.py"
