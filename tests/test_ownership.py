"""Whose files and directories are: what is refused, what is not, and what the line says."""

import os
from pathlib import Path

import pytest

from tuimon import ownership
from tuimon.errors import UsageError
from tuimon.launch.launcher import TrainerProcess
from tuimon.runs.run_directory import RunDirectory
from tuimon.trainer.session import trainer_log

SO = "it is not used"


@pytest.fixture(autouse=True)
def _every_group_has_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "_is_private_group", lambda _: False)


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Return a directory below others, none of which others can write."""
    directory = tmp_path / "above" / "runs" / "mine"
    directory.mkdir(parents=True)
    for path in (directory, directory.parent, directory.parent.parent):
        path.chmod(0o755)
    return directory


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Make a directory another user's and return whose."""
    if os.getuid() == 0:
        os.chown(path, 12345, -1)
        return 12345
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    return mine


def test_the_callers_own(deep: Path) -> None:
    ownership.require_own_directory(deep, SO)
    ownership.require_own_directory(deep / ".." / "mine", SO)


@pytest.mark.parametrize(("mode", "letters"), [(0o757, "o"), (0o775, "g"), (0o777, "go"), (0o1777, "go")])
def test_others_can_write_it(deep: Path, mode: int, letters: str) -> None:
    deep.chmod(mode)
    with pytest.raises(UsageError) as refused:
        ownership.require_own_directory(deep, SO)
    assert str(refused.value) == (
        f"{deep}: others can write this directory, {SO}; mend it with: chmod {letters}-w {deep}"
    )


@pytest.mark.parametrize("levels", [1, 2])
def test_others_can_write_a_directory_above(deep: Path, levels: int) -> None:
    above = deep.parents[levels - 1]
    above.chmod(0o777)
    with pytest.raises(UsageError, match=f"^{above}: others can write this directory, {SO}; .* chmod go-w {above}$"):
        ownership.require_own_directory(deep, SO)
    # As /tmp is: others can make directories there, and cannot rename this one.
    above.chmod(0o1777)
    ownership.require_own_directory(deep, SO)


def test_a_link_is_followed_and_what_it_leads_through_is_looked_at(deep: Path, tmp_path: Path) -> None:
    (tmp_path / "through").mkdir(mode=0o755)
    (tmp_path / "through" / "further").symlink_to(deep.parent)
    (tmp_path / "link").symlink_to(Path("through") / "further")
    ownership.require_own_directory(tmp_path / "link" / "mine", SO)
    (deep / "here").symlink_to(".")
    ownership.require_own_directory(deep / "here", SO)
    (tmp_path / "through").chmod(0o777)
    with pytest.raises(UsageError, match=f"^{tmp_path}/through: others can write this directory"):
        ownership.require_own_directory(tmp_path / "link" / "mine", SO)


def test_a_link_in_a_circle_and_a_path_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    for name in ("circle", "nowhere"):
        with pytest.raises(OSError, match=name):
            ownership.require_own_directory(tmp_path / name, SO)


def test_a_directory_above_is_another_users(deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = given_away(deep.parent, monkeypatch)
    with pytest.raises(UsageError, match=rf"the directory is another user's \(uid {uid}\), {SO}$"):
        ownership.require_own_directory(deep, SO)
    # In a container without root, it may be the host's root's; the directory itself is still to be one's own.
    (tmp_path / "overflowuid").write_text(f"{uid}\n")
    (tmp_path / "uid_map").write_text("         0       1000          1\n")
    monkeypatch.setattr(ownership, "_OVERFLOW_UID", tmp_path / "overflowuid")
    monkeypatch.setattr(ownership, "_UID_MAP", tmp_path / "uid_map")
    if os.getuid() == 0:
        ownership.require_own_directory(deep, SO)
    given_away(deep, monkeypatch)
    with pytest.raises(UsageError, match=f"^{deep}: the directory is another user's"):
        ownership.require_own_directory(deep, SO)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give links away")
def test_a_link_is_another_users(deep: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(deep)
    os.chown(tmp_path / "link", 12345, -1, follow_symlinks=False)
    with pytest.raises(UsageError, match=f"^{tmp_path}/link: the link is another user's"):
        ownership.require_own_directory(tmp_path / "link", SO)


def test_what_another_user_lets_all_write_is_not_for_the_caller_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o666)
    status = path.stat()
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    of_root = os.stat_result([*status[:4], 0, *status[5:]])
    with pytest.raises(UsageError, match=r"use a copy in a directory of your own$"):
        ownership.require_trusted(path, of_root, SO)


def test_reading_what_is_the_callers_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"text")
    path.chmod(0o644)
    assert ownership.read_own(path, SO) == b"text"
    path.chmod(0o664)
    with pytest.raises(UsageError, match=f"^{path}: others can write this file, {SO}; mend it with: chmod g-w"):
        ownership.read_own(path, SO)
    path.chmod(0o644)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("link", "a link"), ("pipe", "a pipe"), (".", "a directory")):
        with pytest.raises(UsageError, match=f"it is {words}, not a file, {SO}$"):
            ownership.read_own(tmp_path / name, SO)
    with pytest.raises(FileNotFoundError):
        ownership.read_own(tmp_path / "nothing", SO)


def test_the_trainers_log_is_written_through_no_link(runs: Path, tmp_path: Path) -> None:
    run = RunDirectory.at(runs / "run")
    kept = tmp_path / "kept"
    kept.write_text("of somebody")
    run.trainer_log.symlink_to(kept)
    with pytest.raises(OSError, match=r"trainer\.log"):
        TrainerProcess(run).start()
    with pytest.raises(OSError, match=r"trainer\.log"):
        trainer_log.rotate(run.trainer_log)
    run.trainer_log.unlink()
    run.trainer_log.write_text("line\n")
    run.trainer_log.with_name("trainer.log.1").symlink_to(kept)
    with pytest.raises(OSError, match=r"trainer\.log\.1"):
        trainer_log.rotate(run.trainer_log)
    assert kept.read_text() == "of somebody"
    assert run.trainer_log.read_text() == "line\n"
