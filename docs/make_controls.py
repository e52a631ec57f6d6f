"""Make docs/controls.md from what ``make test-all`` saw: what each control does on each kind of model.

The rows are measured by tests/trainer/test_every_kind.py, which calls this.
"""

from collections.abc import Mapping
from pathlib import Path

OUTPUT = Path(__file__).parent / "controls.md"

YES = "✓"

HEAD = """\
<!-- Made by `make test-all` (tests/trainer/test_every_kind.py, docs/make_controls.py): change those. -->

# What each control does on each kind of model

Measured: each row is a `fit` of that kind of model, with TensorFlow on the CPU, in which every control was asked for
and each was taken back. A ✓ in these columns means:

- **watch**: the weights, the optimizer's variables, the random seeds and the history are those of a run without
  tuimon, bit for bit;
- **freeze, exact**: a run that is frozen and unfrozen has the weights of one that stops there, sets `trainable` on the
  layers, compiles with the same optimizer and goes on, bit for bit;
- **freeze**, **statistics**, **weights**, **phase**, **momentum**: the request was applied, and the first step under
  it was seen to move and to hold what the mode says (`command_verified`);
- **lr**: the next steps' rate is the new one; **recalibrate**: also as a dry run, after which the model was
  bit-identical;
- **rollback**: after it, the weights were those of the checkpoint, bit for bit;
- **pause**, **evaluate**, **stop**: applied, and seen.

A letter is the reason why not. Training on several replicas (`MirroredStrategy`, two devices, a layer that is
synchronized and one that is not) has tests of its own for each of these (tests/trainer/test_mirrored.py), and so have
loops of one's own (tests/trainer/test_loop.py), where `recalibrate` and `evaluate` are rejected: only the loop has the
data.
"""

TAIL = """\
## What is exact where Keras alone fails

With `use_ema`, a model that is compiled anew with other layers frozen does not train on: Keras looks for the averages
by position. tuimon's freeze goes on, holds the averages of what is frozen at the frozen values, and averages the rest.

`MirroredStrategy` with `steps_per_execution` above 1 ends in an error of Keras' own, with tuimon as without.

## What to know of several replicas

Keras keeps the moving statistics of a BatchNormalization layer that is not synchronized on each replica for itself.
What is shown of layers, and what `command_verified` compares, is of the first replica. Keras' logged loss is the mean
of the replicas' means; the loss of each batch that tuimon shows is that of all its samples.
"""


def row(kind: str, cells: Mapping[str, str], letters: Mapping[str, str]) -> str:
    """Return a row of the table.

    Args:
        kind: Its name.
        cells: Per control `YES`, or the reason why not.
        letters: Per reason its letter.
    """
    shown = (YES if cell == YES else letters[cell] for cell in cells.values())
    return f"| {kind} | {' | '.join(shown)} |"


def document(rows: Mapping[str, Mapping[str, str]], reasons: Mapping[str, str]) -> str:
    """Return the whole page.

    Args:
        rows: Per kind its cells.
        reasons: Per letter a reason.
    """
    letters = {reason: letter for letter, reason in reasons.items()}
    controls = list(next(iter(rows.values())))
    table = [f"| kind of model | {' | '.join(controls)} |", "| --- |" + " :-: |" * len(controls)]
    table += [row(kind, cells, letters) for kind, cells in rows.items()]
    used = {cell for cells in rows.values() for cell in cells.values()}
    notes = [f"- **{letter}**: {reason}" for letter, reason in reasons.items() if reason in used]
    return "\n".join([HEAD, *table, "", *notes, "", TAIL])
