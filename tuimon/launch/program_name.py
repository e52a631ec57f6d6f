"""What a run is called where nobody says so: after the notebook, else after the program."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from types import ModuleType

_VARIABLE = "JPY_SESSION_NAME"
"""The Jupyter server sets it to the notebook's path when it starts the kernel."""
_IN_VS_CODE = "__vsc_ipynb_file__"
"""VS Code sets this global to the notebook's path."""
_SESSION_OF_VS_CODE = re.compile(r"-jvsc-[0-9a-f-]{8,}$")
"""VS Code's own mark in the names of sessions on a Jupyter server."""
_LAUNCHERS = ("ipykernel_launcher", "colab_kernel_launcher")


def program_name(
    arguments: Sequence[str] | None = None,
    environment: Mapping[str, str] = os.environ,
    modules: Mapping[str, ModuleType] = sys.modules,
) -> str:
    """Return the name of the notebook whose kernel this process is, else that of its program.

    Only what the notebook's program itself has said is taken: VS Code in a global, a Jupyter server in the environment
    of the kernel. Nobody is asked for the list of sessions, which needs a password in many places. A notebook that is
    renamed while its kernel runs keeps its former name there. Processes that a notebook starts inherit the environment,
    but are no kernel.

    Args:
        arguments: Those of the program; by default `sys.argv`.
        environment: Its environment.
        modules: The modules that are loaded, by name.

    Returns:
        A name that is not empty: "notebook" for a kernel whose notebook nobody names.

    Example:
        >>> program_name(["/home/me/train.py"], {}, {})
        'train'
    """
    arguments = sys.argv if arguments is None else arguments
    program = PurePosixPath(arguments[0] if arguments else "").stem
    shell = _shell(modules)
    if shell is None:
        return program or "python"
    names = getattr(shell, "user_ns", None)
    said = names.get(_IN_VS_CODE) if isinstance(names, Mapping) else None
    for path in (said, environment.get(_VARIABLE)):
        if notebook := _notebook(path):
            return notebook
    return "notebook" if program in _LAUNCHERS else program or "python"


def _shell(modules: Mapping[str, ModuleType]) -> object | None:
    """Return IPython's shell of a kernel; None in every other process, one with IPython in a terminal among them."""
    if "ipykernel" not in modules:
        return None
    try:
        shell: object | None = modules["IPython"].get_ipython()
    except Exception:  # noqa: BLE001 - whatever the user's IPython does, the run has a name.
        return None
    return shell


def _notebook(path: object) -> str:
    """Return the name of a notebook by its path, as Windows or others write it; empty if it is no notebook's."""
    if not isinstance(path, str) or not path.endswith(".ipynb"):
        return ""
    name = PureWindowsPath(path).name.removesuffix(".ipynb")
    # Colab has an address there, and no name.
    return "" if name.startswith("fileId=") else _SESSION_OF_VS_CODE.sub("", name).removesuffix(".ipynb")
