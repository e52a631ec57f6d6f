"""A trainer that is killed at any moment: nothing of what was written is lost, and the next attempt goes on."""

import random
import time
from collections.abc import Iterator, Sequence

from faults import logs
from faults.place import Place, waited
from faults.results import Fault, Tried
from faults.trainings import Keras, Plain, Training, differs, undisturbed
from tuimon.protocol import commands, events
from tuimon.runs.glance import Glance

SAID_SECONDS = 20.0
"""Within this time a viewer on the same machine has to say that the trainer is gone."""
EPOCH_END, ASKED = ("batch", "validation", "checkpoint"), ("batch", "checkpoint asked for", "rollback", "validation")
PLAIN = {"steps": 4, "step_seconds": 0.02, "validation_seconds": 0.01, "checkpoint_minutes": 1e-9}
TORN_EVERY = 4
"""After each so manieth kill, the last line of the log is torn as well, as a crash of the machine does it."""


def _epochs(times: int) -> int:
    """Return how many epochs a training has that is killed so often, so that it is not over before."""
    return 40 + 16 * times


def _strike(training: Training, moment: str, generator: random.Random) -> bool:
    """Kill the trainer in such a moment; return whether it was met for sure."""
    # Some steps first, so that each attempt gets somewhere.
    waited(lambda: training.moments.endswith(b"b"), 5.0)
    time.sleep(generator.random() * 0.05)
    saving = training.run.checkpoints
    met = True
    if moment == "validation":
        met = training.until_moment("v", 10.0)
        time.sleep(generator.random() * 0.01)
    elif moment.startswith("checkpoint"):
        if moment != "checkpoint":
            training.ask(commands.Checkpoint())
        # The hidden name is there while the file is written.
        met = waited(lambda: any(saving.glob(".saving-*")), 5.0, every=0.0002)
    elif moment == "rollback":
        file = training.ask(commands.Rollback())
        met = waited(lambda: not file.exists(), 5.0, every=0.0002)
        time.sleep(generator.random() * 0.01)
    else:
        time.sleep(generator.random() * 0.02)
    training.kill()
    return met


def _tear(training: Training, generator: random.Random) -> None:
    """Take some bytes from the end of the log, but not its last whole line but one."""
    log = training.run.session_log
    data = log.read_bytes()
    last = data.rstrip(b"\n").rfind(b"\n") + 1
    log.write_bytes(data[: generator.randrange(last + 1, len(data))])


def _after(training: Training, before: logs.Log | None, attempts: int) -> str:
    """Return what is wrong after a kill; empty if nothing is."""
    log = logs.read(training.run)
    if log.wrong:
        return log.wrong
    if before is not None and not log.whole.startswith(before.whole):
        return "lines that an earlier attempt wrote are not there any more"
    if log.attempts != attempts:
        return f"the log tells of {log.attempts} attempts, and {attempts} began"
    glance = Glance(training.run)
    glance.look()
    status = glance.status(time.time())
    if status != "crashed":
        return f"`list` calls a killed run {status}"
    return training.checkpoint_error()


def chain(
    training: Training, times: int, moments: Sequence[str], *, alone: Training | None, seed: int
) -> Iterator[Tried]:
    """Kill a trainer again and again, take the run up after each, and let it come to its end.

    Args:
        training: Has not begun.
        times: How often.
        moments: In which; in turns.
        alone: The same training, which nothing happened to, to compare weights with; None: they are not compared.
        seed: Of the times at random.
    """
    generator = random.Random(seed)
    before: logs.Log | None = None
    torn = met = 0
    for number in range(times):
        moment = moments[number % len(moments)]
        training.start(resumes=number > 0)
        viewer = training.place.watch(training.run)
        waited(lambda viewer=viewer: bool(viewer.lines))
        # Without one, `--resume` refuses.
        waited(lambda: any(training.run.checkpoints.glob("step-*.npz")))
        met += _strike(training, moment, generator)
        since = time.monotonic()
        wrong = _after(training, before, number + 1)
        said = viewer.said("crashed after", since=since, seconds=SAID_SECONDS)
        viewer.process.kill()
        if number % TORN_EVERY == TORN_EVERY - 1:
            torn += 1
            _tear(training, generator)
        before = logs.read(training.run)
        wrong = wrong or viewer.traceback or ("" if said is not None else "no viewer says that the trainer is gone")
        yield Tried(said=said, wrong=wrong)
    training.start(resumes=True)
    failed = training.finish()
    log = logs.read(training.run)
    wrong = failed or log.wrong or ("" if before is None or log.whole.startswith(before.whole) else "lines are missing")
    disturbed = failed or (differs(training, alone) if alone is not None else "")
    resumed = len(log.of(events.RunResumed))
    note = f"{times} attempts in one log, {resumed} went on from a checkpoint; {torn} last lines torn as well"
    compared = "; the weights in the end are those of a training that nobody killed" if alone and not disturbed else ""
    missed = f"; {times - met} kills came before their moment" if met < times else ""
    yield Tried(times=0, wrong=wrong, disturbed=disturbed, note=note + compared + missed)


def plain(place: Place, times: int) -> Iterator[Tried]:
    """Kill the trainer without a framework in steps, validations and the checkpoints of epochs' ends."""
    training = Plain(place, epochs=_epochs(times), holds=True, ballast_bytes=2_000_000, **PLAIN)
    alone = undisturbed(place, epochs=_epochs(times), **{**PLAIN, "checkpoint_minutes": 0.0})
    yield from chain(training, times, EPOCH_END, alone=alone, seed=1)


def plain_asked(place: Place, times: int) -> Iterator[Tried]:
    """Kill the trainer without a framework in checkpoints and rollbacks that somebody asks for."""
    options = {**PLAIN, "checkpoint_minutes": 0.002}
    training = Plain(place, epochs=_epochs(times), holds=True, ballast_bytes=8_000_000, **options)
    yield from chain(training, times, ASKED, alone=None, seed=2)


def keras(place: Place, times: int) -> Iterator[Tried]:
    """Kill the trainer of `tuimon run` with Keras in steps, validations and the checkpoints of epochs' ends."""
    training = Keras(place, epochs=_epochs(times), pause=0.02, minutes=1e-9)
    alone = Keras(place, "undisturbed", epochs=_epochs(times))
    alone.let_go()
    alone.launch()
    yield from chain(training, times, EPOCH_END, alone=alone, seed=3)


def keras_asked(place: Place, times: int) -> Iterator[Tried]:
    """Kill the trainer of `tuimon run` with Keras in checkpoints and rollbacks that somebody asks for."""
    training = Keras(place, epochs=_epochs(times), pause=0.02, minutes=0.01)
    yield from chain(training, times, ASKED, alone=None, seed=4)


FAULTS = [
    Fault(
        "killed-plain",
        "trainer killed (kill -9) in a step, a validation, a checkpoint; without a framework",
        plain,
        times=44,
        seconds=240,
    ),
    Fault(
        "killed-plain-asked",
        "trainer killed in a checkpoint or rollback that was asked for; without a framework",
        plain_asked,
        times=36,
        seconds=240,
    ),
    Fault(
        "killed-keras",
        "trainer killed in a step, a validation, a checkpoint; `tuimon run` with Keras",
        keras,
        times=11,
        seconds=420,
    ),
    Fault(
        "killed-keras-asked",
        "trainer killed in a checkpoint or rollback that was asked for; `tuimon run` with Keras",
        keras_asked,
        times=9,
        seconds=420,
    ),
]
