"""`faults.plain_trainer` with a clock that is set back by an hour once the file ``back`` is there."""

import json
import sys
import time
from pathlib import Path

HOUR = 3600.0


def main(text: str) -> int:
    """Train a plan; return the exit code."""
    back, now = Path(json.loads(text)["beside"]) / "back", time.time
    # Before anything of tuimon is imported, which may keep the function.
    time.time = lambda: now() - (HOUR if back.exists() else 0.0)
    from faults import plain_trainer

    return plain_trainer.main(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
