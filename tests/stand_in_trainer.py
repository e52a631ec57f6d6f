"""A process that does to a run directory what a trainer does, without Keras.

It holds the log's lock, writes the first facts, and answers requests: with ``apply`` all, with ``reject``
none, with ``hold`` it does not look. ``apply`` ends after a ``stop``. With ``paused`` it applies, but makes no
step; with ``unverified`` it makes one that shows nothing; with ``die`` it takes a request and is gone; with ``claim``
it takes requests and never answers.
"""

import fcntl
import os
import sys
import time
from pathlib import Path

import msgspec

from helpers import fit_started, layer, model_built, started
from tuimon.protocol import commands, events
from tuimon.runs import liveness
from tuimon.runs.run_directory import RunDirectory


def results(request: commands.AnyRequest) -> list[events.AnyEvent]:
    """Return what a request leads to, after what another sender's led to."""
    match request:
        case commands.Recalibrate():
            return [
                events.Recalibrated(batches=1, examples=1, dry_run=True),
                events.Recalibrated(
                    batches=request.batches,
                    examples=6400,
                    dry_run=request.dry_run,
                    before={"loss": 1.2},
                    after={"loss": 0.31},
                    skipped=["bn_1"],
                    seconds=2.0,
                ),
            ]
        case commands.Evaluate():
            return [events.Evaluated(name="at step 3", logs={"loss": 0.25, "accuracy": 0.5})]
        case commands.Probe():
            return [
                events.Probe(
                    reason="asked",
                    examples=1,
                    train=-0.28,
                    inference=-6.1,
                    gap=5.82,
                    batch_norm=5.72,
                    stochastic=0.1,
                    other=0.0,
                    masks=8,
                    standard_error=0.01,
                    passes=13,
                    seconds=0.1,
                )
            ]
        case commands.Checkpoint():
            name = "step-00000003.npz"
            return [events.CheckpointSaved(name=name, reason="asked", size_bytes=12_000_000, seconds=0.31)]
        case commands.Rollback():
            return [events.RolledBack(checkpoint=request.checkpoint or "newest.npz", to_step=2, to_epoch=1)]
        case _:
            # Somebody else's.
            return [events.Evaluated(name="at step 3", logs={"loss": 0.25})]


def main() -> None:
    run, behaviour = RunDirectory.at(Path(sys.argv[1])), sys.argv[2]
    log = os.open(run.session_log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    seq = len(run.session_log.read_bytes().splitlines())
    attempt = run.session_log.read_bytes().count(b'{"type":"run_started"')

    def write(*facts: events.AnyEvent) -> None:
        nonlocal seq
        for fact in facts:
            fact.seq, fact.time, seq = seq, time.time(), seq + 1
        os.write(log, b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts))

    write(
        started(pid=os.getpid(), boot_id=liveness.boot_id(), attempt=attempt),
        model_built(layer("bn_1")),
        fit_started(epochs=5, steps_per_epoch=1, can={"freeze": ""}),
        events.StateChanged(state="paused" if behaviour == "paused" else "training"),
    )
    while True:
        for path in sorted(run.commands.glob("[!.]*.json")) if behaviour != "hold" else ():
            if behaviour == "claim":
                path.rename(path.with_name(f".{path.name}.claimed"))
                continue
            request = commands.decode(path.read_bytes())
            sender = events.Sender(uid=os.getuid(), user=request.user, host=request.host, pid=request.pid)
            fields = commands.as_fields(request)
            if behaviour == "die":
                path.unlink()
                return
            if behaviour == "reject" or request.attempt != attempt:
                write(events.CommandRejected(id=request.id, request=fields, sender=sender, reason="not here"))
            else:
                write(
                    *results(request),
                    events.CommandApplied(id=request.id, request=fields, sender=sender, first_step=3, frozen=["bn_1"]),
                )
                if behaviour == "apply":
                    write(events.CommandVerified(id=request.id, held=True, detail="moving statistics unchanged"))
                elif behaviour == "unverified":
                    write(events.Batches(first_step=2, metrics={}, batches=1, step=3))
                    write(events.Batches(first_step=3, metrics={}, batches=1, step=4))
            path.unlink()
            if isinstance(request, commands.Stop) and behaviour == "apply":
                write(events.RunEnded(status="stopped"))
                return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
