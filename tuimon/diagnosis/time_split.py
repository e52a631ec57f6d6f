"""Where the time of the steps goes, in words, and whether they wait for their data: R19."""

from collections.abc import Iterator, Mapping

from tuimon.diagnosis.finding import Finding
from tuimon.protocol.wire import to_wire
from tuimon.runs.state import RunState

NOTE_SHARE = 0.2
"""From this share of waiting on, it is reported."""
WARNING_SHARE = 0.5
"""From this share on it is a warning: with the data at hand, training would be at least twice as fast."""
WAIT_SECONDS = 0.002
"""A shorter wait for each step is not reported: such steps are so short that the rest of their loop costs as much."""
LOST_SECONDS = 2.0
"""As long as less than this was lost in all, nothing is reported."""

WORDS = {
    "data": "waiting for data",
    "step": "the steps",
    "validation": "validation",
    "callbacks": "callbacks and Keras' loop",
    "monitoring": "monitoring",
}
"""The parts as a sentence names them."""
_ADVICE = {
    "arrays": "make the batches larger, so that fewer of them are put together",
    "dataset": "end the pipeline with `.prefetch(tf.data.AUTOTUNE)`, give its `.map(…)` "
    "`num_parallel_calls=tf.data.AUTOTUNE`, and `.cache()` what fits into memory",
    "generator": "a generator makes one batch after the other: use a `keras.utils.PyDataset` with several `workers`, "
    "or a `tf.data` pipeline with a parallel `.map(…)`",
    "PyDataset": "give the PyDataset more `workers`, and `use_multiprocessing=True` if its work is done in Python",
    "DataLoader": "give the DataLoader more `num_workers`",
}
_ADVICE_ON_ANY = "prepare the next batches while the step runs, several at once"


def sentence(state: RunState) -> str:
    """Return where the time of a run's steps went; empty while it is not known."""
    spent = state.time_split
    if not spent.shares or spent.steps <= 0:
        return ""
    words = dict(WORDS)
    if spent.newest is not None and spent.newest.returns_early:
        words["step"] = "the steps and callbacks"
    named = [f"{_percent(share)} {words[name]}" for name, share in spent.shares.items() if share > 0]
    steps = f"{spent.steps:,} step{'' if spent.steps == 1 else 's'}"
    return (
        f"Where the time of the steps went, without traces and pauses: {', '.join(named)}; "
        f"{_duration(_per_step(state))} a step, over {steps}."
    )


def line(shares: Mapping[str, float]) -> str:
    """Return the shares in one line: ``data 41 % · step 52 %``."""
    return " · ".join(f"{name} {_percent(share)}" for name, share in shares.items())


def input_bound(state: RunState) -> Iterator[Finding]:
    """R19: the steps wait for their data.

    Threshold: waiting takes at least `NOTE_SHARE` of the time, since the start and in the newest measurement; at least
    `WAIT_SECONDS` a step; and at least `LOST_SECONDS` in all. It is a note, for such a run
    learns as well as a faster one; from `WARNING_SHARE` on it is a warning. Without the first step, traces, pauses
    and suspensions of the process.

    Source: the input pipeline analyzer of the TensorFlow Profiler, which calls a program highly input-bound from 20 %
    of the step time on.
    """
    spent = state.time_split
    shares, newest = spent.shares, spent.newest
    if newest is None or spent.steps <= 0 or not shares:
        return
    share, lost = shares.get("data", 0.0), spent.seconds.get("data", 0.0)
    if min(share, spent.newest_shares.get("data", 0.0)) < NOTE_SHARE:
        return
    waits, takes = lost / spent.steps, _per_step(state)
    if waits < WAIT_SECONDS or lost < LOST_SECONDS:
        return
    yield Finding(
        rule="R19",
        severity="warning" if share >= WARNING_SHARE else "info",
        step=max(0, newest.step - spent.steps),
        what=f"the steps wait for their data {_percent(share)} of the time: {_duration(waits)} of the "
        f"{_duration(takes)} that a step takes",
        evidence={
            "waiting_share": to_wire(share),
            "step_share": to_wire(shares.get("step", 0.0)),
            "waiting_seconds_per_step": to_wire(waits),
            "seconds_per_step": to_wire(takes),
            "steps": spent.steps,
        },
        advice=_ADVICE.get(newest.data, _ADVICE_ON_ANY),
        weight=min(1.0, share),
    )


def _per_step(state: RunState) -> float:
    spent = state.time_split
    return sum(spent.seconds.values()) / spent.steps


def _percent(share: float) -> str:
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def _duration(seconds: float) -> str:
    if seconds >= 0.1:
        return f"{seconds:.2f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
