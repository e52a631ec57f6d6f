"""Records docs/recorded/finetune_one_sample.jsonl: a real run of the sample config, steered at known steps.

    python docs/record_session.py

The screenshot of the README is drawn from it (docs/make_screenshot.py). Names of the machine and of the
user are taken out of the log; nothing else is changed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tuimon import events
from tuimon.run_directory import RunDirectory
from tuimon.session_log import Tail

ROOT = Path(__file__).parent.parent
CONFIG = Path("sample_configs", "finetune_one_sample.toml")
RECORDED = ROOT / "docs" / "recorded" / "finetune_one_sample.jsonl"
PLAN = (
    (100, ("freeze",)),
    (200, ("unfreeze",)),
    (260, ("phase", "train")),
    (320, ("phase", "auto")),
    (360, ("freeze", "--layer", "bn_3")),
    (400, ("note", "frozen: the last layer alone")),
    (420, ("stop",)),
)


def main() -> None:
    """Train, steer, and write the log."""
    with tempfile.TemporaryDirectory() as runs:
        tuimon = [sys.executable, "-m", "tuimon"]
        trainer = subprocess.Popen([*tuimon, "run", str(CONFIG), "--headless", "--runs-dir", runs], cwd=ROOT)
        while not (found := list(Path(runs).glob("*/session.jsonl"))):
            time.sleep(0.1)
        run = RunDirectory(found[0].parent)
        tail, step = Tail(run.session_log), 0
        for wanted, words in PLAN:
            while step < wanted:
                time.sleep(0.02)
                step = max([step, *(event.step for event in tail.read())])
            subprocess.run([*tuimon, "send", str(run.path), *words], check=True)
        trainer.wait()
        log = Tail(run.session_log).read_all()
    RECORDED.write_bytes(b"".join(msgspec.json.encode(without_names(event)) + b"\n" for event in log))


def without_names(event: events.AnyEvent) -> events.AnyEvent:
    """Take the machine and the user out of an event."""
    if isinstance(event, events.RunStarted):
        event.host, event.pid, event.boot_id, event.process_started = "host", 1, None, None
        table = event.config["run"]
        assert isinstance(table, dict)
        table["source"] = str(CONFIG)
    if isinstance(event, events.CommandApplied | events.CommandRejected):
        event.sender = events.Sender(uid=1000, user="user", host="host", pid=1)
    return event


if __name__ == "__main__":
    main()
