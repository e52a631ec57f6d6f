"""Real faults against real processes: what is lost, what is disturbed, and when the viewer says so.

``make faults`` makes them all and writes docs/reliability.md. Each family is a module; each fault is a function that
makes it some times and yields what came of each. The tests make the same faults a few times.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# The tools of the tests: logs to make, conditions to wait for, terminals.
if str(ROOT / "tests") not in sys.path:
    sys.path.insert(0, str(ROOT / "tests"))
