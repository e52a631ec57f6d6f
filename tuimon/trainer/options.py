"""What a Monitor is told, and the checks of it. Loads no framework."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tuimon.protocol import commands
from tuimon.protocol.values import DEFAULT_OVERHEAD


@dataclass(frozen=True)
class ProbeOptions:
    """When and on what a ``fit`` is probed."""

    is_on: bool = True
    """Whether it is probed unless somebody asks."""
    batch: Any = None
    """``(x, y)`` or ``(x, y, sample_weight)`` to probe on; None: a training batch."""
    every: int | None = None
    """Steps from one probe to the next; None: at the ends of epochs."""


@dataclass(frozen=True)
class Options:
    """What a Monitor was told."""

    overhead: float = DEFAULT_OVERHEAD
    """The share of the time that monitoring may take."""
    probe: ProbeOptions = field(default_factory=ProbeOptions)
    """When and on what the gap between training mode and inference mode is measured."""
    prepare: Sequence[str] = ()
    """Modes that are traced before the first step, in the words of `tuimon send`."""
    checkpoint_minutes: float = 0.0
    """A checkpoint is made at the first epoch's end after so many; 0: only when somebody asks."""
    checkpoints_kept: int = 3
    """How many."""
    checkpoint_at_stop: bool = False
    """Whether one is made when training was stopped, for a later attempt to go on from."""

    @classmethod
    def checked(
        cls,
        *,
        overhead: float,
        probe: tuple[Any, ...] | bool | None,
        probe_every: int | None,
        prepare: Sequence[str],
    ) -> "Options":
        """Return what the arguments of a Monitor mean.

        Raises:
            ValueError: One of them has a value that a Monitor does not take.
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
        probe_options = ProbeOptions(is_on=probe is not False, batch=batch, every=probe_every)
        return cls(overhead=overhead, probe=probe_options, prepare=prepare)
