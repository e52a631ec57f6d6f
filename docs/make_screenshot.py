"""Draws docs/screenshot.svg from the recorded session.

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
RECORDED = DOCS / "recorded" / "finetune_one_sample.jsonl"
SCREENSHOT = DOCS / "screenshot.svg"
SIZE = (144, 44)


async def draw() -> str:
    """Open the app on the recorded session and return the screen as SVG."""
    with tempfile.TemporaryDirectory() as directory:
        os.chdir(directory)
        run = RunDirectory.at(Path("runs", "20261121-101500-finetune-one-sample"))
        shutil.copyfile(RECORDED, run.session_log)
        app = WatchApp(run)
        async with app.run_test(size=SIZE) as pilot:
            while app.state.ended is None:
                await pilot.pause(0.1)
            await pilot.press("down", "down")
            app.redraw()
            await pilot.pause()
            # A page that shows pictures loads no fonts for them.
            return re.sub(r"@font-face \{.*?\}", "", app.export_screenshot(title="tuimon"), flags=re.DOTALL)


if __name__ == "__main__":
    SCREENSHOT.write_text(asyncio.run(draw()), encoding="utf-8")
