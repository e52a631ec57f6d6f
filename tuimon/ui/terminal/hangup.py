"""Ends the viewer when its terminal is gone, so that a lost connection leaves no process behind.

The kernel sends SIGHUP where the terminal is the controlling one. Elsewhere (in a viewer that another program started,
say) nothing ends the process: Textual's threads fail or spin.
"""

import os
import select
import sys
import threading

EXIT_CODE = 129
"""The exit status that a shell reports of a process that SIGHUP has ended."""


def exit_on_hangup() -> None:
    """Watch the terminal from a thread that costs nothing, and end the process when it hangs up.

    The training process, if there is one, has a session of its own and goes on.
    """
    try:
        terminal = sys.__stdin__.fileno() if sys.__stdin__ else -1
    except (OSError, ValueError):
        return
    if terminal < 0 or not os.isatty(terminal):
        return
    poll = select.poll()
    poll.register(terminal, 0)  # Hang-up and errors are always reported.

    def wait() -> None:
        poll.poll()
        # There is no screen to tidy up, and the event loop may be waiting for it.
        os._exit(EXIT_CODE)

    threading.Thread(target=wait, name="tuimon-hangup", daemon=True).start()
