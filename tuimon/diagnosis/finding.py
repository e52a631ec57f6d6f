"""What a rule finds."""

from typing import Literal

from msgspec import Struct, field

from tuimon.protocol.wire import Number

Severity = Literal["info", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")
"""The lighter ones first."""


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong, or worth knowing.

    Example:
        >>> Finding(rule="R12", severity="error", step=7, what="the loss is NaN", advice="lower the learning rate").key
        ('R12', None)
    """

    rule: str
    """The number of the rule: `R1`, `R2`, …"""
    severity: Severity
    """The severity: a note, a warning or an error."""
    layer: str | None = None
    """Path of the layer it is about; None: the whole model, or several of its layers."""
    step: int
    """The step since when it is so, or at which it was seen."""
    what: str
    """One sentence, without a full stop: what was found, and why it is so."""
    evidence: dict[str, Number] = field(default_factory=dict)
    """The numbers that it rests on, by names that say what they are."""
    advice: str
    """One sentence, without a full stop: what to do. It is read of a run that is over, too, and of an alert of long
    ago: so it names no key, and nothing to wait for."""
    request: str = ""
    """The request that would help, as `tuimon send` spells it; empty: none."""
    weight: float = 0.0
    """Orders findings of one severity: 0 to 1, the share of the trouble that this one makes."""

    @property
    def key(self) -> tuple[str, str | None]:
        """What makes it the same finding as an earlier one."""
        return self.rule, self.layer
