"""Which steps of a run a rollback or a resumption took back."""

from collections.abc import Iterable

from tuimon.protocol.events import CheckpointSaved, RolledBack, RunResumed

_Spans = list[tuple[int, int]]
_OPEN = 1 << 62


def undone(timeline: Iterable[object]) -> tuple[tuple[int, int], ...]:
    """Return the steps whose effect the present weights do not have: after the first of each pair, up to the second.

    A rollback goes on from the weights of its checkpoint, which may be of a branch that was left before: then the steps
    of that branch count again.

    Example:
        >>> undone([RolledBack(checkpoint="a", to_step=50, to_epoch=0, step=80)])
        ((50, 80),)
    """
    kept: _Spans = []
    begin = 0
    kept_of: dict[str, _Spans] = {}
    for entry in timeline:
        match entry:
            case CheckpointSaved():
                # Its fact may come behind the step that it was made at: only a rollback says at which.
                kept_of[entry.name] = [*kept, (begin, _OPEN)]
            case RolledBack() | RunResumed():
                way = kept_of.get(entry.checkpoint, [*kept, (begin, entry.step)])
                kept = [(first, min(last, entry.to_step)) for first, last in way if first < entry.to_step]
                begin = entry.step
    ends = [0, *(last for _, last in kept)]
    starts = [*(first for first, _ in kept), begin]
    return tuple((end, start) for end, start in zip(ends, starts, strict=True) if end < start)
