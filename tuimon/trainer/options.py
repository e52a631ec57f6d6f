"""The options of a Monitor, and their checks. Loads no framework."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

from tuimon.launch import schedule
from tuimon.protocol import commands
from tuimon.protocol.values import DEFAULT_OVERHEAD

CHECKPOINT_MINUTES = 10.0
"""Minutes between two checkpoints of a script that resumes, unless it says otherwise."""

Resume = Literal["auto"]
"""How a script resumes."""


class ProbeOptions(Struct, frozen=True):
    """When and on what a ``fit`` is probed."""

    is_on: bool = True
    """Whether tuimon probes without a request."""
    batch: Any = None
    """The batch to probe on, ``(x, y)`` or ``(x, y, sample_weight)``; None: a training batch."""
    every: int | None = None
    """Steps from one probe to the next; None: a probe at the ends of epochs."""
    at_end: bool = True
    """Whether a ``fit`` whose last probe is old is probed once more at its end."""


class Options(Struct, frozen=True):
    """The options of a Monitor."""

    overhead: float = DEFAULT_OVERHEAD
    """The share of the time that monitoring may take."""
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    """When and on which batch to measure the gap between training mode and inference mode."""
    prepare: Sequence[str] = ()
    """Modes to trace before the first step, in the words of `tuimon send`."""
    orders: Sequence[str] = ()
    """Standing orders, given as the first ``fit`` begins."""
    checkpoint_minutes: float = 0.0
    """Minutes after which the next end of an epoch saves a checkpoint; 0: only requests save one."""
    checkpoints_kept: int = 3
    """How many of the newest checkpoints to keep."""
    grace_seconds: float = 30.0
    """Longest time from a signal to the end of the process, where a stop saves a checkpoint."""
    checkpoint_at_stop: bool = False
    """Whether a stop saves a checkpoint, from which a later attempt continues."""
    resumes: bool = False
    """Whether the first ``fit`` of a script goes on with the unfinished run of the same name."""

    @classmethod
    def checked(
        cls,
        *,
        overhead: float,
        probe: tuple[Any, ...] | bool | None,
        probe_every: int | None,
        prepare: Sequence[str],
        examine_at_end: bool = True,
        resume: Resume | None = None,
        checkpoint_minutes: float | None = None,
        orders: Sequence[str] | str | Path = (),
    ) -> "Options":
        """Return the options for the arguments of a Monitor.

        Raises:
            ValueError: An argument is out of range; the message names it.
        """
        if not 0 < overhead < 1:
            raise ValueError(f"overhead is a share of the training time, between 0 and 1; received {overhead!r}")
        if probe_every is not None and not probe_every >= 1:
            raise ValueError(f"probe_every is a number of steps, at least 1; received {probe_every!r}")
        batch = None if probe is None or isinstance(probe, bool) else probe
        if batch is not None and not (isinstance(batch, tuple | list) and 2 <= len(batch) <= 3):
            raise ValueError("probe is one batch, (x, y) or (x, y, sample_weight)")
        prepare = (prepare,) if isinstance(prepare, str) else tuple(prepare)
        for words in prepare:
            commands.from_words(words)
        probe_options = ProbeOptions(
            is_on=probe is not False, batch=batch, every=probe_every, at_end=bool(examine_at_end)
        )
        if resume not in (None, "auto"):
            raise ValueError(f'resume is "auto" or None; received {resume!r}')
        if checkpoint_minutes is None:
            checkpoint_minutes = CHECKPOINT_MINUTES if resume else 0.0
        if not 0 <= checkpoint_minutes < float("inf"):
            raise ValueError(f"checkpoint_minutes is a number of minutes, or 0; received {checkpoint_minutes!r}")
        return cls(
            overhead=overhead,
            probe=probe_options,
            prepare=prepare,
            orders=schedule.given(orders),
            checkpoint_minutes=float(checkpoint_minutes),
            checkpoint_at_stop=checkpoint_minutes > 0,
            resumes=resume == "auto",
        )
