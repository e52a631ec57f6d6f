"""All faults, by family."""

from collections.abc import Sequence

from faults import damaged, disks, ends, killed, many, suspended, viewers
from faults.results import Fault, Row

FAMILIES: dict[str, list[Fault]] = {
    "A killed trainer": killed.FAULTS,
    "A killed viewer, a lost terminal": viewers.FAULTS,
    "Disks": disks.FAULTS,
    "Much of everything": many.FAULTS,
    "Damaged logs": damaged.FAULTS,
    "Suspended, out of time, in a container": suspended.FAULTS,
    "Told to end, and faults of our own": ends.FAULTS,
}
FAULTS = [fault for faults in FAMILIES.values() for fault in faults]


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Return rows by family, in the order of the families."""
    by_name = {row.name: row for row in rows}
    return {
        family: found
        for family, faults in FAMILIES.items()
        if (found := [by_name[fault.name] for fault in faults if fault.name in by_name])
    }
