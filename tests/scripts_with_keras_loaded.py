"""Runs scripts one after another, each in a process of its own that need not load TensorFlow again.

Called with a list in JSON, of ``[directory, script, arguments…]``. Prints the exit status of each, negative for a
signal. TensorFlow may be loaded before a fork, as long as it has computed nothing.
"""

import json
import os
import runpy
import sys
from collections.abc import Sequence

import keras  # noqa: F401
import tensorflow as tf  # noqa: F401

import tuimon

tuimon.Monitor  # noqa: B018 - loads the rest of what a script needs


def main(jobs: Sequence[Sequence[str]]) -> None:
    """Run the scripts."""
    for directory, script, *arguments in jobs:
        process = os.fork()
        if process == 0:
            os.chdir(directory)
            sys.argv = [script, *arguments]
            runpy.run_path(script, run_name="__main__")
            return
        _, status = os.waitpid(process, 0)
        print("exit status", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
