"""Runs of many kinds for the pages and pictures that are made of them."""

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

from helpers import (
    SENDER,
    encode_log,
    fit_started,
    layer,
    make_run,
    model_built,
    probe_fact,
    started,
    statistics,
)
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory

GPU = events.GpuLoad(index=0, name="NVIDIA H200", memory_total=150 * 10**9)


def asked(number: int, step: int, request: dict[str, object], **fields: object) -> list[events.AnyEvent]:
    """Return the facts of a request that was applied at a step, and verified."""
    applied = events.CommandApplied(
        id=f"r-{number}",
        request=request,
        sender=SENDER,
        first_step=step,
        step=step,
        **fields,  # type: ignore[arg-type]
    )
    detail = "moving statistics of all layers as asked"
    return [applied, events.CommandVerified(id=f"r-{number}", held=True, detail=detail, step=step + 1)]


def probed(step: int, gap: float, paths: list[str]) -> events.Probe:
    """Return a probe in which each layer makes as much of the gap."""
    share = gap / len(paths)
    layers = {
        path: events.ProbeLayer(in_order=share, alone=share, drift=5.0 / (1 + number), elements=64)
        for number, path in enumerate(paths)
    }
    return probe_fact(train=1.0 + gap, gap=gap, batch_norm=gap, layers=layers, step=step, epoch=step // 100)


def a_long_story(*, layers: int = 3, epochs: int = 12, ends: bool = True) -> list[events.AnyEvent]:
    """Return a run of 100 steps an epoch with requests, a checkpoint, a rollback, notes, and an infinite loss."""
    chance = random.Random(7)
    paths = [f"encoder/stage_{number // 3}/bn_{number}" for number in range(layers)]
    facts: list[events.AnyEvent] = [
        started(versions={"python": "3.11.2", "tuimon": "0.1.0", "keras": "3.7.0"}, host="gpu-node-7"),
        model_built(*(layer(path, channels=64) for path in paths), other_layers=["dropout"]),
        fit_started(epochs=20, steps_per_epoch=100, batch_size=64, can={"probe": "", "freeze": ""}),
        events.StateChanged(state="training"),
        events.System(cores=16, memory_total=128 * 10**9, process_memory=9 * 10**9, gpus=[GPU]),
    ]
    branch = 0
    for epoch in range(epochs):
        first = 100 * epoch
        losses = [3 * math.exp(-(first + step) / 300) + 0.1 + 0.3 * chance.random() for step in range(100)]
        facts.append(events.Batches(first_step=first, metrics={"loss": [*losses]}, batches=100, step=first + 100))
        at = {"step": first + 100, "epoch": epoch, "branch": branch}
        loss = sum(losses) / 100
        logs = {"loss": loss, "accuracy": 1 - loss / 5, "val_loss": loss + 0.3, "val_accuracy": 0.9 - loss / 5}
        facts.append(events.EpochEnded(logs={**logs}, learning_rate=1e-3 * 0.8**epoch, seconds=9.0, **at))
        if paths:
            facts.append(events.BatchNorm(layers={path: statistics(epoch / 5) for path in paths}, **at))
            facts.append(probed(first + 100, 0.4 if epoch < 4 else 0.02, paths))
        if epoch == 3:
            facts += asked(1, 400, {"command": "freeze", "layers": []}, frozen=paths)
            facts.append(events.CheckpointSaved(name="step-400.npz", reason="asked", size_bytes=9, seconds=0.1, **at))
        if epoch == 5:
            facts.append(
                events.CommandRejected(
                    id="r-2", request={"command": "phase", "phase": "x"}, sender=SENDER, reason="no such phase", **at
                )
            )
            facts.append(events.Note(text="tried a warm restart\nsecond line", **at))
        if epoch == 7:
            branch += 1
            facts.append(
                events.RolledBack(checkpoint="step-400.npz", to_step=400, to_epoch=3, step=800, epoch=7, branch=1)
            )
            facts += asked(3, 800, {"command": "lr", "learning_rate": 3e-4}, learning_rate=3e-4)
    if ends:
        facts.append(events.RunEnded(status="finished", step=100 * epochs, epoch=epochs - 1))
    return facts


def live(runs: Path, facts: list[events.AnyEvent], name: str = "live") -> RunDirectory:
    """Return a run whose log was written just now, by a trainer of another machine."""
    run = RunDirectory.at(runs / name)
    now = time.time()
    for number, fact in enumerate(facts):
        fact.time = now - 2 * (len(facts) - number)
    run.session_log.write_bytes(encode_log(facts))
    return run


def all_kinds(runs: Path) -> Iterator[RunDirectory]:
    """Yield a run of each kind that a page must show well."""
    yield make_run(runs, a_long_story(), "story")
    yield live(runs, [started(boot_id=None), *a_long_story(ends=False)[1:]])
    yield make_run(runs, a_long_story(layers=0), "no-batch-norm")
    yield make_run(runs, a_long_story(layers=300, epochs=6), "300-layers")
    yield make_run(runs, [], "nothing")
    yield make_run(runs, [started()], "started")


def large_run(runs: Path, steps: int = 100_000, scalars: int = 8) -> RunDirectory:
    """Return a run of many steps, each with several scalars of its own."""
    chance = random.Random(1)
    facts: list[events.AnyEvent] = [started(), model_built(), fit_started(epochs=100, steps_per_epoch=steps // 100)]
    names = ["loss", *(f"metric_{number}" for number in range(1, scalars))]
    size = 500
    for first in range(0, steps, size):
        metrics: dict[str, list[float | str | None]] = {
            name: [math.exp(-(first + step) / steps * 3) + 0.2 * chance.random() for step in range(size)]
            for name in names
        }
        facts.append(events.Batches(first_step=first, metrics=metrics, batches=size, step=first + size))
    facts.append(events.RunEnded(status="finished", step=steps))
    return make_run(runs, facts, "large")
