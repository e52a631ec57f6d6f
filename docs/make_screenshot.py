"""Draws docs/screenshot.svg and docs/screens/ from the recorded sessions.

python docs/make_screenshot.py

A test draws them as well and compares: the pictures are the snapshots of the screens.
"""

import asyncio
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from textual.pilot import Pilot

from tuimon.runs.run_directory import RunDirectory
from tuimon.ui.app import WatchApp
from tuimon.ui.drawing.svg import CELL_WIDTH, picture

DOCS = Path(__file__).parent
RECORDED = DOCS / "recorded"
SIZE = (144, 44)
NAME = "/training"
"""Where the pictures seem to be taken."""
NOW = 1795300000.0
"""When the pictures are taken: ages are in them."""
SESSIONS = {
    "finetune_one_sample": "20261121-101500-finetune-one-sample",
    "real_vs_fake": "20261121-120000-real-vs-fake",
}
SCREENS = {
    "screenshot": ("finetune_one_sample", ("down", "down")),
    "screens/dashboard": ("real_vs_fake", ()),
    "screens/metrics": ("real_vs_fake", ("2",)),
    "screens/metric": ("real_vs_fake", ("2", "enter", "x", "plus", "left", "left", "left", "left", "left")),
    "screens/layers": ("finetune_one_sample", ("3", "down")),
    "screens/timeline": ("finetune_one_sample", ("4", "down", "down", "down", "down", "down")),
    "screens/run": ("real_vs_fake", ("7",)),
    "screens/compare": ("finetune_one_sample", ("8", "down", "space")),
    "screens/why": ("real_vs_fake", ("enter",)),
    "screens/help": ("finetune_one_sample", ("question_mark",)),
}
"""By their files: the session, and the keys that lead there."""


def prepare(directory: Path) -> None:
    """Lay the recorded sessions into a directory that is then worked in."""
    os.chdir(directory)
    for session, name in SESSIONS.items():
        shutil.copyfile(RECORDED / f"{session}.jsonl", RunDirectory.at(Path("runs", name)).session_log)


async def draw(session: str, keys: tuple[str, ...]) -> str:
    """Open the app on a recorded session, press keys, and return the screen as SVG."""
    with patch("time.time", return_value=NOW):
        app = WatchApp(RunDirectory.at(Path("runs", SESSIONS[session])))
        async with app.run_test(size=SIZE) as pilot:
            while app.viewer.state.ended is None or app.moment().reading is not None:
                await pilot.pause(0.05)
            for key in keys:
                await pilot.press(key)
                await _settle(app, pilot)
            app.redraw()
            await _settle(app, pilot)
            path = rf'textLength="\d+"([^>]*>){re.escape(str(Path.cwd()))}([^<]*)'
            return re.sub(path, _named, picture(app, "tuimon"))


def _named(path: re.Match[str]) -> str:
    """Return a path in the directory of this drawing as one in another, in as many cells as that takes."""
    name = f"{NAME}{path[2]}"
    return f'textLength="{CELL_WIDTH * len(name)}"{path[1]}{name}'


async def _settle(app: WatchApp, pilot: Pilot[str]) -> None:
    """Wait until nothing changes: what is read in a thread comes after the key."""
    before, same = "", 0
    while same < 5:
        await pilot.pause(0.05)
        now = picture(app, "tuimon")
        is_reading = "Looking" in now or "reading" in now
        before, same = now, same + 1 if now == before and not is_reading else 0


def main() -> None:
    """Draw all of them."""
    here, directory = Path.cwd(), Path(tempfile.mkdtemp())
    try:
        prepare(directory)
        for name, (session, keys) in SCREENS.items():
            path = DOCS / f"{name}.svg"
            path.parent.mkdir(exist_ok=True)
            path.write_text(asyncio.run(draw(session, keys)), encoding="utf-8")
    finally:
        os.chdir(here)
        shutil.rmtree(directory)


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    main()
