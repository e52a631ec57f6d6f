"""All runs that the rules are tried on, and the section of docs/rules.md that says what came of each."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import diagnosis.healthy  # noqa: F401 - enters its runs in HEALTHY
from diagnosis.trainings import FAULTS, HEALTHY, NOTES, SPIKES, Facts, Training
from helpers import fold, script
from tuimon.diagnosis.examination import RULES_SAY, examine, judge, missing
from tuimon.diagnosis.rules import findings
from tuimon.runs.state import RunState

make_rules = script("docs/make_rules.py")

GROUPS: dict[str, dict[str, Training]] = {
    "In good health": HEALTHY,
    "With a fault": {name: training for name, (_, training) in FAULTS.items()},
    "With a spike": {name: training for name, (_, training) in SPIKES.items()},
    "With something to note": {name: training for name, (_, training) in NOTES.items()},
}
EVERY: dict[str, Training] = dict(chain.from_iterable(group.items() for group in GROUPS.values()))
"""All of them, by name."""
assert len(EVERY) == sum(map(len, GROUPS.values())), "two runs of one name"


def in_words(name: str) -> str:
    return name.replace("_", " ")


def on_the_way(facts: Facts) -> list[str]:
    """Return the rules that fire at some point of a log."""
    state, fired = RunState(), dict[str, None]()
    for fact in facts:
        state.apply([fact])
        fired.update(dict.fromkeys(finding.rule for finding in findings(state)))
    return [*fired]


def of(name: str, facts: Facts) -> Any:
    """Return what the doctor says of a run, as docs/make_rules.py takes it."""
    state = fold(facts)
    found = findings(state)
    examined = examine(state, found)
    shown = {finding.rule: " (a note)" if finding.severity == "info" else "" for finding in reversed(found)}
    verdict = judge(found, examined)
    return make_rules.Tried(
        name=in_words(name),
        verdict=verdict,
        fired=tuple(f"{rule}{note}" for rule, note in reversed(shown.items())),
        outcomes={rule.rule: rule.outcome for rule in examined},
        missing=tuple(rule.rule for rule in missing(examined)) if verdict == "not examined" else (),
        alarms=tuple(on_the_way(facts)) if name in HEALTHY else (),
    )


def write(logs: Mapping[str, Facts]) -> None:
    """Write docs/rules.md, with a section made anew from the logs of all runs."""
    groups = {group: [of(name, logs[name]) for name in names] for group, names in GROUPS.items()}
    names = {rule: look.name for rule, look in RULES_SAY.items()}
    make_rules.OUTPUT.write_text(make_rules.text(make_rules.tried(groups, names)), encoding="utf-8")


def table(heading: str) -> list[str]:
    """Return the first cells of the table below a heading of the page; empty: there is none."""
    _, _, rest = make_rules.OUTPUT.read_text(encoding="utf-8").partition(f"\n{heading}")
    rows = [
        line.split(" | ")[0].removeprefix("| ") for line in rest.partition("\n#")[0].splitlines() if line[:2] == "| "
    ]
    return rows[2:]
