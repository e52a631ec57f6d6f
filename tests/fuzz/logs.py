"""Logs to damage: every kind of fact, as trainers write them."""

import json
from typing import Any

import msgspec

from helpers import ROOT, SENDER, a_run, numbered, probe_fact
from tuimon.protocol import events, wire

Line = dict[str, Any]
"""One line of a log, as JSON has it."""


def made() -> list[Line]:
    """Return a short run with every kind of fact in it."""
    layer = events.ProbeLayer(in_order=0.25, alone=0.2, drift=0.5, elements=64, calls=2, calls_divergence=0.1)
    gradient = events.ProbeGradient(norm=0.1, weight_norm=1.0, zeros=0.0)
    array = wire.encode_array([0.0, 1.0, 2.0])
    channels = events.BatchNormChannelValues(
        moving_mean_base64=array, moving_variance_base64=array, gamma_base64=array, beta_base64=None
    )
    probes = [
        probe_fact(
            train=1.0 + number,
            inference=0.5,
            gap=0.5 + number,
            batch_norm=0.3,
            stochastic=0.1 + number,
            other=0.1,
            masks=8,
            standard_error=0.01,
            layers={"bn_1": layer, "bn_2": layer},
            validation=0.75,
            batches=3,
            errors={"gap": 0.01, "batch_norm": 0.01},
            share_errors={"batch_norm": 0.1},
            unweighted=0.5,
            unweighted_error=0.02,
            validation_unweighted=0.75,
            validation_error=0.05,
            validation_examples=64,
            constant=2.0,
            floor=0.0,
            gain=1.5,
            gain_error=0.1,
            gradient_norm=0.2,
            gradients={"dense": gradient, "bn_1": gradient},
            gradient_batches=3,
            step=4,
            epoch=1,
        )
        for number in range(3)
    ]
    gpu = events.GpuLoad(index=0, name="H200", busy=0.5, memory_used=2**30, memory_total=2**37, temperature=40.0)
    sample = events.System(cores=8, cpu=0.5, process_cpu=3.0, memory_used=2**33, memory_total=2**36, gpus=[gpu])
    rare: list[events.AnyEvent] = [
        events.ValidationBatches(metrics={"loss": [0.5, 0.75, 9.0]}, batches=3, step=4, epoch=1),
        events.BatchNormChannels(layers={"bn_1": channels, "bn_2": channels}, step=4, epoch=1),
        *probes,
        events.ProbePlanned(seconds=30.0, reason="the first epoch", step=4, epoch=1),
        events.ValidationRepeated(
            metric="val_loss", value=9.0, moving=9.0, batch=0.5, examples=64, seconds=0.1, highest=1, epoch=1, step=4
        ),
        events.WeightUpdates(layers={"dense": 0.001, "bn_1": None}, step=4, epoch=1),
        events.WeightsReplaced(where="validation", change=0.1, examples=64, moving=0.5, moving_error=0.01, step=4),
        events.Alert(
            rule="R1", severity="warning", what="it lags", evidence={"gap": 0.5}, advice="wait", layer="bn_1", step=4
        ),
        events.Overhead(share=0.005, parts={"sampling": 0.25, "probe": 0.5}, step=4, epoch=1),
        events.TimeSplit(
            steps=4,
            seconds={"data": 3.0, "step": 1.0, "validation": 0.5, "callbacks": 0.1, "monitoring": 0.1},
            timed_calls=4,
            data="generator",
            step=4,
        ),
        sample,
        sample,
        events.CommandRejected(id="b-0", request={"command": "lr"}, sender=SENDER, reason="no", step=4, epoch=1),
        events.Recalibrated(batches=4, examples=64, dry_run=False, before={"loss": 1.0}, after={"loss": 0.5}, step=4),
        events.CheckpointSaved(name="step-4.npz", reason="asked", size_bytes=1000, seconds=0.1, step=4, epoch=1),
        events.RolledBack(checkpoint="step-4.npz", to_step=4, to_epoch=1, step=4, epoch=1, branch=1),
        events.RunResumed(
            checkpoint="step-4.npz", to_step=4, to_epoch=1, repeated_steps=0, lost_steps=0, step=4, epoch=1, branch=2
        ),
        events.Note(text="a note", step=4, epoch=1),
        events.LogGap(dropped={"batches": 3}, reason="the disk was full", step=4, epoch=1),
    ]
    facts = numbered([*a_run()[:-1], *rare, *a_run()[6:]])
    return [json.loads(msgspec.json.encode(fact)) for fact in facts]


def recorded(name: str, first: int, last: int) -> list[Line]:
    """Return the beginning and a part of a recorded run, so that curves and rules have something to look at."""
    text = (ROOT / "docs" / "recorded" / f"{name}.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return [*lines[:8], *lines[first:last]]


def seeds() -> list[list[Line]]:
    """Return the logs that are damaged."""
    return [
        made(),
        recorded("finetune_one_sample", 8, 90),
        recorded("finetune_one_sample", 900, 990),
        recorded("real_vs_fake", 8, 120),
    ]
