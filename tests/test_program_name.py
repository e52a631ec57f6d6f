"""What a run is called where nobody says so."""

from types import ModuleType, SimpleNamespace

import pytest

from tuimon.launch.program_name import program_name

KERNEL = ["/usr/lib/python3/site-packages/ipykernel_launcher.py", "-f", "kernel.json"]
TAIL = "-jvsc-12345678-aaaa-bbbb-cccc-1234567890ab8ff12345-aaaa-bbbb-cccc-1234567890ab"


def in_kernel(**names: object) -> dict[str, ModuleType]:
    """Return the modules of a kernel with these names in the notebook's namespace."""
    python = ModuleType("IPython")
    python.get_ipython = lambda: SimpleNamespace(user_ns=names)  # type: ignore[attr-defined]
    return {"ipykernel": ModuleType("ipykernel"), "IPython": python}


@pytest.mark.parametrize(
    ("said", "session", "name"),
    [
        (None, "/home/me/Fine tuning.ipynb", "Fine tuning"),
        ("/home/me/digits.ipynb", None, "digits"),
        ("c:\\Users\\me\\digits.ipynb", None, "digits"),
        # Reported for Weights & Biases (#8104): in VS Code no name is found. On a server, its sessions have odd names.
        ("/home/me/digits.ipynb", f"/home/me/digits{TAIL}.ipynb", "digits"),
        (None, f"/home/me/digits{TAIL}.ipynb", "digits"),
        # Reported for Weights & Biases (#4962): Colab's is an address.
        (None, "/content/fileId=https%3A%2F%2Fcolab.research.google.com%2Fx.ipynb", "notebook"),
        (None, "/home/me/console-1-7d1e", "notebook"),
        (None, "/home/me/.ipynb", "notebook"),
        (7, "", "notebook"),
        (None, None, "notebook"),
    ],
)
def test_a_run_in_a_notebook_is_named_after_it(said: object, session: str | None, name: str) -> None:
    environment = {} if session is None else {"JPY_SESSION_NAME": session}
    modules = in_kernel() if said is None else in_kernel(__vsc_ipynb_file__=said)
    assert program_name(KERNEL, environment, modules) == name


def test_a_script_that_a_notebook_starts_is_named_after_itself() -> None:
    assert program_name(["train.py"], {"JPY_SESSION_NAME": "/home/me/digits.ipynb"}, {}) == "train"


def test_ipython_in_a_terminal_is_no_notebook() -> None:
    modules = in_kernel()
    del modules["ipykernel"]
    assert program_name(["/usr/bin/ipython"], {"JPY_SESSION_NAME": "/home/me/digits.ipynb"}, modules) == "ipython"


def test_an_ipython_that_fails_costs_nothing() -> None:
    modules = {"ipykernel": ModuleType("ipykernel"), "IPython": ModuleType("IPython")}
    assert program_name(KERNEL, {"JPY_SESSION_NAME": "/home/me/x.ipynb"}, modules) == "ipykernel_launcher"
    modules = in_kernel()
    modules["IPython"].get_ipython = lambda: None  # type: ignore[attr-defined]
    assert program_name([], {}, modules) == "python"
