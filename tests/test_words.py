"""What happened, in words: the same in plain lines, in the app and in `tuimon send`."""

import unicodedata

import msgspec
import pytest

from helpers import a_run, encode_log, started
from tuimon.protocol import events
from tuimon.protocol.wire import Number
from tuimon.runs import facts_in_words
from tuimon.runs.state import RunState

Logs = dict[str, Number]


def recalibrated(
    *, batches: int = 200, dry_run: bool = False, before: Logs | None = None, skipped: int = 0
) -> events.Recalibrated:
    return events.Recalibrated(
        batches=batches,
        examples=6400,
        dry_run=dry_run,
        before={"loss": 1.2} if before is None else before,
        after={"loss": 0.31},
        skipped=["bn"] * skipped,
    )


def resumed(repeated: int, lost: int) -> events.RunResumed:
    return events.RunResumed(
        checkpoint="step-00000004.npz", to_step=4, to_epoch=3, repeated_steps=repeated, lost_steps=lost
    )


def saved(size_bytes: int) -> events.CheckpointSaved:
    return events.CheckpointSaved(name="a.npz", reason="10 minutes", size_bytes=size_bytes, seconds=0.31)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            recalibrated(dry_run=True),
            "recalibrated from 200 batches (6,400 examples): validation loss 1.2 → 0.31 (dry run, nothing changed)",
        ),
        (recalibrated(before={}), "recalibrated from 200 batches (6,400 examples): validation loss 0.31"),
        (
            recalibrated(batches=1, skipped=2),
            "recalibrated from 1 batch (6,400 examples), 2 held layers left out: validation loss 1.2 → 0.31",
        ),
        (
            events.Recalibrated(batches=3, examples=1, dry_run=False),
            "recalibrated from 3 batches (1 example)",
        ),
        (
            events.Recalibrated(
                batches=3, examples=6, dry_run=False, before={"val_a": "nan"}, after={"val_a": "inf", "b": 1.0}
            ),
            "recalibrated from 3 batches (6 examples): validation a nan → inf, b 1",
        ),
        (saved(12_345_678), "checkpoint a.npz saved, 12 MB in 0.3 s (10 minutes)"),
        (saved(1_234_567_890), "checkpoint a.npz saved, 1.2 GB in 0.3 s (10 minutes)"),
        (saved(9_900), "checkpoint a.npz saved, 9.9 kB in 0.3 s (10 minutes)"),
        (saved(12), "checkpoint a.npz saved, 12 bytes in 0.3 s (10 minutes)"),
        (
            events.RolledBack(checkpoint="step-00001234.npz", to_step=1234, to_epoch=2),
            "rolled back to step-00001234.npz: weights and optimizer of step 1,234 (epoch 3)",
        ),
        (
            resumed(120, 300),
            "attempt 1 goes on from step-00000004.npz at epoch 4: back to step 4, 120 steps of the epoch repeated; "
            "300 steps of work lost",
        ),
        (
            resumed(1, 1),
            "attempt 1 goes on from step-00000004.npz at epoch 4: back to step 4, 1 step of the epoch repeated; "
            "1 step of work lost",
        ),
        (resumed(0, 0), "attempt 1 goes on from step-00000004.npz at epoch 4: back to step 4; no work lost"),
        (events.StateChanged(state="compiling", detail="freeze"), "compiling: freeze"),
        (events.StateChanged(state="paused"), ""),
        (events.Heartbeat(), ""),
        (events.RunEnded(status="stopped", step=1), "stopped after 1 step"),
        (
            events.RunEnded(status="failed", traceback="a\n  b\nValueError: no\n\n", step=2000),
            "failed after 2,000 steps: ValueError: no",
        ),
    ],
)
def test_words(event: events.AnyEvent, said: str) -> None:
    assert facts_in_words.of(event, RunState()) == said


def test_a_resumption_is_of_the_attempt_that_it_began() -> None:
    """Also when later ones are known, as to the app."""
    state = RunState()
    log = [*a_run(), started(attempt=1), resumed(1, 2), *a_run()[2:], started(attempt=2), resumed(3, 4)]
    encode_log(log)
    state.apply(log)
    said = [facts_in_words.of(event, state) for event in log if isinstance(event, events.RunResumed)]
    assert [line.partition(" goes")[0] for line in said] == ["attempt 2", "attempt 3"]


HOSTILE = "[red]\x1b[31mx\x07\u202e\x9b2J\nz"


def hostile(kind: type[msgspec.Struct]) -> msgspec.Struct:
    """Return a fact in which every text is what nobody should obey."""
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        kinds = {"str": HOSTILE, "int": 1, "float": 1.0, "bool": True}
        name = getattr(field.type, "__name__", "")
        if field.type == dict[str, Number] or field.type == dict[str, str]:
            values[field.name] = {HOSTILE: HOSTILE}
        elif field.type == dict[str, int]:
            values[field.name] = {HOSTILE: 1}
        elif field.type == list[str]:
            values[field.name] = [HOSTILE]
        elif name in kinds:
            values[field.name] = kinds[name]
        elif field.required:
            values[field.name] = {"dict": {}, "list": []}.get(name, 1)
    return kind(**values)


@pytest.mark.parametrize("kind", events.AnyEvent.__args__, ids=lambda kind: kind.__name__)
def test_what_comes_from_outside_is_shown_and_not_obeyed(kind: type[msgspec.Struct]) -> None:
    if kind in (events.CommandApplied, events.CommandRejected, events.CommandVerified):
        said = "".join((facts_in_words.applied(1.0, HOSTILE), facts_in_words.rejected(HOSTILE)))
        said += facts_in_words.verified(events.CommandVerified(id=HOSTILE, held=False, detail=HOSTILE))
    else:
        event = hostile(kind)
        if isinstance(event, events.StateChanged):
            event.state = "compiling"
        said = facts_in_words.of(event, RunState())  # type: ignore[arg-type]
    assert not [character for character in said if unicodedata.category(character) in ("Cc", "Cf")]
    silent = (events.ModelBuilt, events.Batches, events.ValidationBatches, events.EpochEnded, events.BatchNorm)
    assert bool(said) != (
        kind
        in (
            *silent,
            events.BatchNormChannels,
            events.Heartbeat,
            events.Overhead,
            events.ProbePlanned,
            events.System,
            events.TimeSplit,
            events.WeightUpdates,
        )
    )
