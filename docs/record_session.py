"""Records docs/recorded/*.jsonl: real runs of the sample configs, the first one steered at known steps.

    python docs/record_session.py finetune_one_sample      a minute
    python docs/record_session.py real_vs_fake             a quarter of an hour

The screenshot (docs/make_screenshot.py) and the answers of `tuimon doctor` in docs/why-*.md are made from them.
Names of the machine and of the user are taken out. Of real_vs_fake, which is long, single train steps and full arrays
are left out, all but every 50th sample of the layers, and the batches of the validations that do not stand out; nothing
else is changed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tuimon.diagnosis.spike_causes import spikes
from tuimon.protocol import events
from tuimon.runs.log.session_log import Tail
from tuimon.runs.run_directory import RunDirectory
from tuimon.runs.state import RunState

ROOT = Path(__file__).parent.parent
KEPT_SAMPLES = 50
PLANS: dict[str, tuple[tuple[int, tuple[str, ...]], ...]] = {
    "finetune_one_sample": (
        (100, ("freeze",)),
        (200, ("unfreeze",)),
        (260, ("phase", "train")),
        (320, ("phase", "auto")),
        (360, ("freeze", "--layer", "bn_3")),
        (400, ("note", "frozen: the last layer alone")),
        (420, ("unfreeze",)),
        (460, ("freeze",)),
        (500, ("stop",)),
    ),
    "real_vs_fake": (),
}


def main(name: str) -> None:
    """Train, steer, and write the log."""
    config = Path("sample_configs", f"{name}.toml")
    with tempfile.TemporaryDirectory() as runs:
        tuimon = [sys.executable, "-m", "tuimon"]
        trainer = subprocess.Popen([*tuimon, "run", str(config), "--headless", "--runs-dir", runs], cwd=ROOT)
        while not (found := list(Path(runs).glob("*/session.jsonl"))):
            time.sleep(0.1)
        run = RunDirectory(found[0].parent)
        tail, step = Tail(run.session_log), 0
        for wanted, words in PLANS[name]:
            while step < wanted:
                time.sleep(0.02)
                step = max([step, *(event.step for event in tail.read())])
            subprocess.run([*tuimon, "send", str(run.path), *words], check=True)
        trainer.wait()
        log = Tail(run.session_log).read_all()
    write(name, log)


def write(name: str, log: list[events.AnyEvent]) -> None:
    """Write the log of a run of a sample config as it is kept."""
    kept = log if PLANS[name] else thinned(log)
    lines = (msgspec.json.encode(without_names(event, f"sample_configs/{name}.toml")) + b"\n" for event in kept)
    (ROOT / "docs" / "recorded" / f"{name}.jsonl").write_bytes(b"".join(lines))


def thinned(log: list[events.AnyEvent]) -> list[events.AnyEvent]:
    """Return what the diagnosis of a long run needs."""
    state = RunState()
    state.apply(log)
    epochs = {spike.epoch for spike in spikes(state)}
    samples = [event for event in log if isinstance(event, events.BatchNorm)]
    kept = {event.seq for event in samples[::KEPT_SAMPLES]} | {samples[-1].seq}
    return [
        event
        for event in log
        if not isinstance(event, events.Batches | events.BatchNormChannels | events.Heartbeat)
        and (not isinstance(event, events.BatchNorm) or event.seq in kept)
        and (not isinstance(event, events.ValidationBatches) or event.epoch in epochs)
    ]


def without_names(event: events.AnyEvent, config: str) -> events.AnyEvent:
    """Take the machine and the user out of an event."""
    if isinstance(event, events.RunStarted):
        event.host, event.pid, event.boot_id, event.process_started = "host", 1, None, None
        table = event.config["run"]
        assert isinstance(table, dict)
        table["source"] = config
    if isinstance(event, events.CommandApplied | events.CommandRejected):
        event.sender = events.Sender(uid=1000, user="user", host="host", pid=1)
    return event


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Record a run of a sample config.")
    parser.add_argument("name", choices=PLANS)
    main(parser.parse_args().name)
