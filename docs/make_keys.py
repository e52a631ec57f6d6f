"""Write docs/keys.md from the one table of keys.

python docs/make_keys.py          writes docs/keys.md
"""

from pathlib import Path

from tuimon.ui.viewer.key import Key
from tuimon.ui.viewer.keys import sections

OUTPUT = Path(__file__).parent / "keys.md"

HEAD = """\
<!-- Made by docs/make_keys.py from tuimon/ui/viewer/keys.py: change that. -->

# Keys

Every key of every screen. `?` shows them in the app, with those that do nothing now and why; `:` finds each by its
name. A key that changes a run does so through the same requests as `tuimon send`.
"""


def text() -> str:
    """Return the whole document."""
    parts = [HEAD]
    for heading, keys in sections():
        rows = [f"| {_shown(key)} | {key.help} |" for key in keys]
        parts.append("\n".join([f"## {heading}\n", "| | |", "| --- | --- |", *rows, ""]))
    return "\n".join(parts)


def _shown(key: Key) -> str:
    shown = key.shown.replace("|", "\\|")
    return f"`{shown}`"


if __name__ == "__main__":
    OUTPUT.write_text(text(), encoding="utf-8")
