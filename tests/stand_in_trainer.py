"""A process that does to a run directory what a trainer does, without Keras.

It holds the log's lock, writes the first facts, and answers requests: with ``apply`` all, with ``reject``
none, with ``hold`` it does not look. ``apply`` ends after a ``stop``.
"""

import fcntl
import os
import sys
import time
from pathlib import Path

import msgspec

from helpers import layer, started
from tuimon import commands, events, liveness
from tuimon.run_directory import RunDirectory


def main() -> None:
    run, behaviour = RunDirectory.at(Path(sys.argv[1])), sys.argv[2]
    log = os.open(run.session_log, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    seq = 0

    def write(*facts: events.AnyEvent) -> None:
        nonlocal seq
        for fact in facts:
            fact.seq, fact.time, seq = seq, time.time(), seq + 1
        os.write(log, b"".join(msgspec.json.encode(fact) + b"\n" for fact in facts))

    write(
        started(pid=os.getpid(), boot_id=liveness.boot_id()),
        events.ModelBuilt(
            name="model", parameters=3, trainable_parameters=3, batch_norm_layers=[layer("bn_1")], other_layers=[]
        ),
        events.FitStarted(
            optimizer="Adam", epochs=5, initial_epoch=0, steps_per_epoch=1, jit_compile=False, can={"freeze": ""}
        ),
        events.StateChanged(state="training"),
    )
    while True:
        for path in sorted(run.commands.glob("[!.]*.json")) if behaviour != "hold" else ():
            request = commands.decode(path.read_bytes())
            sender = events.Sender(uid=os.getuid(), user=request.user, host=request.host, pid=request.pid)
            fields = commands.as_fields(request)
            if behaviour == "reject":
                write(events.CommandRejected(id=request.id, request=fields, sender=sender, reason="not here"))
            else:
                write(
                    events.CommandApplied(id=request.id, request=fields, sender=sender, first_step=3, frozen=["bn_1"]),
                    events.CommandVerified(id=request.id, held=True, detail="moving statistics unchanged"),
                )
            path.unlink()
            if isinstance(request, commands.Stop) and behaviour == "apply":
                write(events.RunEnded(status="stopped"))
                return
        time.sleep(0.01)


if __name__ == "__main__":
    main()
