"""The user's command hangs, fails, floods or does not exist: one line says so, and nothing waits for long."""

import os
import sys
from pathlib import Path

from helpers import until
from tuimon.alerting.command import KEPT_BYTES, Outcome, run


def python(text: str, *, data: bytes = b"{}\n", timeout_seconds: float = 60.0) -> Outcome:
    return run(
        [sys.executable, "-c", text], data=data, variables={"TUIMON_TEXT": "näh"}, timeout_seconds=timeout_seconds
    )


def test_it_gets_the_fact_and_the_variables() -> None:
    done = python("import os, sys; print(sys.stdin.read().strip(), os.environ['TUIMON_TEXT'])")
    assert (done.code, done.output, done.trouble) == (0, ("{} näh",), "")


def test_one_that_fails_says_why() -> None:
    done = python("import sys; print('no route to host', file=sys.stderr); sys.exit(7)")
    assert done.code == 7
    assert done.trouble.endswith("ended with exit code 7: no route to host")


def test_one_that_does_not_exist() -> None:
    done = run(["no-such-mailer", "--password=x"], data=b"", variables={}, timeout_seconds=60)
    assert done.code is None
    assert done.trouble == "no-such-mailer cannot be started: No such file or directory"


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    text = (
        f"import os, subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', {stubborn!r}]);"
        f"open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}'); time.sleep(600)"
    )
    done = python(text, timeout_seconds=2.0)
    assert done.is_late
    assert "took more than 2 s and was ended" in done.trouble
    if pids.exists():  # A busy machine may not get it that far.
        for pid in pids.read_text().split():
            until(lambda pid=pid: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


def test_a_flood_of_output_is_not_kept() -> None:
    done = python("for _ in range(400_000): print('x' * 100)\nprint('\\x1b[31mlast')")
    assert done.code == 0
    assert sum(map(len, done.output)) <= KEPT_BYTES
    assert done.output[-1] == "last"


def test_one_that_reads_nothing_or_leaves_a_child_holds_nothing_up() -> None:
    assert python("pass", data=b"x" * 10_000_000).code == 0
    child = "import time; time.sleep(600)"
    text = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {child!r}]).pid, flush=True)"
    done = python(text)
    assert done.code == 0
    os.kill(int(done.output[0]), 9)
