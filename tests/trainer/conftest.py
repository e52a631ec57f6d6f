"""What holds for tests that train: no examination at the end, which each short ``fit`` would trace anew."""

from typing import Any

import pytest

from tuimon.trainer.schedule import ProbeSchedule


@pytest.fixture(autouse=True)
def _without_an_examination_at_the_end(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("examined") is None:

        def nothing(*_: Any, **__: Any) -> None: ...

        monkeypatch.setattr(ProbeSchedule, "examine_at_end", nothing)
