"""The trainer records the load of its machine."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import psutil
import pytest

import tuimon
from helpers import read_log, until
from tuimon.machine import gpus, reader
from tuimon.machine.gpus import GpuReader, visible_gpus
from tuimon.machine.reader import MachineReader
from tuimon.protocol import events
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.budget import SHARES, Budget
from tuimon.trainer.session.recorder import Recorder
from tuimon.trainer.session.system_sampler import SystemSampler


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(RunDirectory.at(tmp_path / "run"), name="run")
    yield recorder
    if not recorder.is_closed:
        recorder.close()


Threads = Callable[[], list[threading.Thread]]


@pytest.fixture
def threads() -> Threads:
    """Return what lists the threads of ours that this test has started: an earlier one may have left a run open."""
    before = threading.enumerate()
    names = ("tuimon-system", "tuimon-console")
    return lambda: [each for each in threading.enumerate() if each.name in names and each not in before]


def samples(recorder: Recorder) -> list[events.System]:
    return [event for event in read_log(recorder.run) if isinstance(event, events.System)]


def test_a_fit_records_the_load_of_its_machine(tmp_path: Path, threads: Threads) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = tuimon.Monitor(tmp_path / "run")
    run = RunDirectory(tmp_path / "run")

    def wait(epoch: int, logs: Any) -> None:
        until(lambda: any(isinstance(event, events.System) for event in read_log(run)))

    look = keras.callbacks.LambdaCallback(on_epoch_end=wait)
    for _ in range(2):
        model.fit(np.ones((8, 2)), np.ones(8), verbose=0, callbacks=[monitor, look])
    # A second `fit` of the run keeps the pace, and does not begin anew.
    sample, *later = [event for event in read_log(run) if isinstance(event, events.System)]
    assert all(each.cpu is not None for each in later)
    assert sample.cpu is None
    assert sample.process_cpu is None
    assert sample.cores == psutil.cpu_count()
    assert sample.memory_total is not None
    assert sample.memory_used is not None
    assert sample.process_memory is not None
    assert 0 < sample.process_memory < sample.memory_total
    assert 0 < sample.memory_used <= sample.memory_total
    assert sample.disk_free is not None
    assert sample.disk_total is not None
    assert 0 < sample.disk_free <= sample.disk_total
    assert not threads()


def test_the_second_sample_knows_the_processors(recorder: Recorder) -> None:
    recorder.accompany(SystemSampler(recorder, first_seconds=0.2, sample_seconds=0.2))
    until(lambda: len(samples(recorder)) >= 3)
    first, second = samples(recorder)[:2]
    assert (first.cpu, first.process_cpu) == (None, None)
    assert isinstance(second.cpu, float)
    assert isinstance(second.process_cpu, float)
    assert 0 <= second.cpu <= 1
    assert 0 <= second.process_cpu <= (os.cpu_count() or 1) + 1


def test_shares_are_of_the_time_between_two_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(10, 5, 80, 5, 3), (40, 5, 140, 15, 3), (40, 5, 140, 15, 3)])

    def cpu_times() -> Any:
        user, system, idle, iowait, guest = next(times)

        class Times(tuple[float, ...]):
            pass

        made = Times((user, system, idle, iowait, guest))
        for name, value in {"idle": idle, "iowait": iowait, "guest": guest}.items():
            setattr(made, name, value)
        return made

    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    machine = MachineReader(None, tmp_path)
    # Of 100 s, 60 s idle and 10 s waiting for a disk; then no time at all.
    assert [machine.read().cpu for _ in range(3)] == [None, pytest.approx(0.3), None]


def test_what_cannot_be_read_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise psutil.AccessDenied(1)

    def no_disk(*_: Any) -> Any:
        raise OSError("stale file handle")

    for name in ("virtual_memory", "cpu_times"):
        monkeypatch.setattr(psutil, name, refuse)
    monkeypatch.setattr(psutil.Process, "memory_info", refuse)
    monkeypatch.setattr(reader.shutil, "disk_usage", no_disk)
    machine = MachineReader(os.getpid(), tmp_path)
    machine.read()
    sample = machine.read()
    for name in ("cpu", "process_cpu", "memory_used", "memory_total", "process_memory", "disk_free", "disk_total"):
        assert getattr(sample, name) is None, name
    assert sample.gpus == []
    assert sample.why_no_gpus


def test_a_sleeping_driver_stops_neither_training_nor_its_end(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, threads: Threads
) -> None:
    asleep, awake = threading.Event(), threading.Event()

    def sleep(self: GpuReader) -> list[events.GpuLoad]:
        asleep.set()
        awake.wait(60)
        return []

    monkeypatch.setattr(GpuReader, "read", sleep)
    monkeypatch.setattr("tuimon.trainer.session.system_sampler.CLOSE_SECONDS", 0.01)
    sampler = SystemSampler(recorder)
    recorder.accompany(sampler)
    assert asleep.wait(60)
    recorder.note("training goes on")
    sampler.stop()
    sampler.start()  # The thread that waits for the driver stays the only one.
    assert len(threads()) == 1
    until(lambda: [event for event in read_log(recorder.run) if isinstance(event, events.Note)])
    assert samples(recorder) == []
    recorder.close()
    awake.set()
    until(lambda: not threads())


def test_an_error_of_a_driver_ends_the_samples_alone(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, threads: Threads
) -> None:
    def fail(self: GpuReader) -> list[events.GpuLoad]:
        raise RuntimeError("a library of another version")

    monkeypatch.setattr(GpuReader, "read", fail)
    recorder.accompany(SystemSampler(recorder))
    until(lambda: not threads())
    recorder.note("training goes on")
    until(lambda: [event for event in read_log(recorder.run) if isinstance(event, events.Note)])


@pytest.mark.parametrize("kind", ["import", "function"])
def test_a_library_of_another_kind_costs_the_gpus_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    library = tmp_path / "pynvml.py"
    library.write_text(
        "raise FutureWarning('use another package')"
        if kind == "import"
        else "NVMLError = OSError\ndef nvmlInit(): pass\ndef nvmlDeviceGetCount(): return 1\n"
        "def nvmlDeviceGetHandleByIndex(index): return index\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    sample = MachineReader(None, tmp_path).read()
    assert sample.memory_total
    if kind == "import":
        assert "use another package" in sample.why_no_gpus
    else:
        assert sample.gpus == [events.GpuLoad(index=0, name="GPU")]
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)


def test_what_the_budget_does_not_allow_comes_later(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    budget = Budget(0.01, 0.0)

    def allows(part: str, now: float, expected: float = 0.0) -> bool:
        asked.set()
        return False

    monkeypatch.setattr(budget, "allows", allows)
    recorder.budget = budget
    recorder.accompany(SystemSampler(recorder, first_seconds=0.01, sample_seconds=0.01))
    until(lambda: samples(recorder))
    assert asked.wait(60)
    recorder.close()
    assert len(samples(recorder)) == 1
    # The first one is charged all the same.
    assert budget.seconds["system"] > 0


def test_facts_of_other_threads_do_not_make_the_steps_go_back(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, goes_on = threading.Event(), threading.Event()

    class Slow(events.System, tag="system"):
        """A fact between whose step and whose place in the log the training thread would come."""

        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name == "branch":
                waits.set()
                goes_on.wait(0.2)

    thread = threading.Thread(target=lambda: recorder.record(Slow()))
    thread.start()
    assert waits.wait(60)
    recorder.reach(7)
    recorder.note("of step 7")
    goes_on.set()
    thread.join()
    recorder.close()
    steps = [event.step for event in read_log(recorder.run)]
    assert steps == sorted(steps)
    assert steps[-1] == 7


def test_a_companion_that_fails_is_left_out(recorder: Recorder) -> None:
    class Fails:
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

        def stop(self) -> None:
            raise AssertionError("it was not started")

    class Interrupted:
        def start(self) -> None: ...

        def stop(self) -> None:
            raise KeyboardInterrupt

    recorder.accompany(Fails())
    recorder.accompany(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        recorder.close()
    notes = [event.text for event in read_log(recorder.run) if isinstance(event, events.Note)]
    assert notes == ['Fails does not run: RuntimeError("can\'t start new thread")']


def test_the_parts_of_the_budget_are_the_whole() -> None:
    assert sum(SHARES.values()) == pytest.approx(1.0)


class Library(SimpleNamespace):
    """The functions of pynvml that are asked, for four GPUs; process 7 is on the second one."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU = 0

    def __getattr__(self, name: str) -> Any:
        def not_supported(*_: Any) -> Any:
            raise self.NVMLError(name)

        return not_supported

    def nvmlInit(self) -> None: ...  # noqa: N802

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 4

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return f"GPU-{handle}{handle}-a"

    def nvmlDeviceGetComputeRunningProcesses(self, handle: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=7, usedGpuMemory=5)] if handle == 1 else []


@pytest.mark.parametrize(
    ("pid", "visible", "numbers"),
    [
        (7, None, [1]),
        (7, "0,1", [1]),
        # In a container, the driver knows the process by another number.
        (8, "GPU-22,3", [2, 3]),
        (8, None, [0, 1, 2, 3]),
        (8, "", []),
    ],
)
def test_of_gpus_those_of_the_run_are_read(
    monkeypatch: pytest.MonkeyPatch, pid: int, visible: str | None, numbers: list[int]
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Library())  # type: ignore[arg-type]
    machine = gpus.GpuReader(pid, visible)
    loads = machine.read()
    assert [load.index for load in loads] == numbers
    assert [load.process_memory for load in loads] == [5 if load.index == 1 and pid == 7 else None for load in loads]
    assert ("hides" in machine.missing) == (not numbers)
    # What the driver does not tell is null.
    assert all(load.busy is load.memory_used is load.temperature is load.watts is None for load in loads)


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [("0", [0]), ("2,0", [0, 2]), ("1,-1,2", [1]), ("no,1", []), ("9", []), ("MIG-1", [0, 1, 2]), (" 1 ", [1])],
)
def test_the_variable_is_read_as_cuda_reads_it(visible: str, numbers: list[int]) -> None:
    assert visible_gpus(visible, ["GPU-a", "GPU-b", "GPU-c"]) == numbers
