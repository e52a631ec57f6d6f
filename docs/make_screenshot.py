"""Draws docs/screenshot.svg and docs/screens/ from the recorded sessions.

python docs/make_screenshot.py
"""

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path

from tuimon.run_directory import RunDirectory
from tuimon.ui.app import WatchApp

DOCS = Path(__file__).parent
RECORDED = DOCS / "recorded"
SIZE = (144, 44)
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


async def draw(session: str, keys: tuple[str, ...]) -> str:
    """Open the app on a recorded session, press keys, and return the screen as SVG."""
    app = WatchApp(RunDirectory.at(Path("runs", SESSIONS[session])))
    async with app.run_test(size=SIZE) as pilot:
        while app.state.ended is None:
            await pilot.pause(0.1)
        for key in keys:
            await pilot.press(key)
            # What is read in a thread comes after the key.
            await pilot.pause(0.5)
        app.redraw()
        await pilot.pause()
        # A page that shows pictures loads no fonts for them.
        return re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(title="tuimon"), flags=re.DOTALL)


def main() -> None:
    """Draw all of them."""
    # Its name is in the pictures.
    directory = Path(tempfile.gettempdir(), "training")
    directory.mkdir()
    try:
        os.chdir(directory)
        for session, name in SESSIONS.items():
            shutil.copyfile(RECORDED / f"{session}.jsonl", RunDirectory.at(Path("runs", name)).session_log)
        for name, (session, keys) in SCREENS.items():
            path = DOCS / f"{name}.svg"
            path.parent.mkdir(exist_ok=True)
            path.write_text(asyncio.run(draw(session, keys)), encoding="utf-8")
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
