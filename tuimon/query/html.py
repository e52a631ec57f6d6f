"""What Jupyter shows of a session: a table without a script, readable on light and dark."""

from html import escape
from typing import TYPE_CHECKING

from tuimon.numbers import count, figure
from tuimon.text import plain

if TYPE_CHECKING:
    from tuimon.query.session import Session

SHOWN_BEST = 8
SHOWN_FINDINGS = 8
_SIGNS = {"error": "✗ error", "warning": "▲ warning", "info": "· note"}
_LEFT = ' style="text-align:left"'


def page(session: "Session") -> str:
    """Return a session as HTML. What comes from the log is escaped."""
    state = session.state
    where = [session.status, f"step {count(state.step)}"]
    if state.step:
        where.append(f"epoch {count(state.epoch + 1)}")
    if session.branch:
        where.append(f"branch {count(session.branch)}")
    if session.fits > 1:
        where.append(f"{count(session.fits)} fits")
    parts = [f"<b>{_text(session.name)}</b>: {_text(', '.join(where))}"]
    if best := list(session.best.items()):
        rows = [
            f"<tr><td{_LEFT}>{_text(name)}</td><td>{_text(figure(found.value))}</td>"
            f"<td>{count(found.epoch + 1)}</td><td>{count(found.step)}</td></tr>"
            for name, found in best[:SHOWN_BEST]
        ]
        headings = f"<tr><th{_LEFT}>best</th><th>value</th><th>in epoch</th><th>at step</th></tr>"
        parts.append(f"<table>{headings}{''.join(rows)}</table>{_more(len(best), SHOWN_BEST, 'metric')}")
    elif not state.best.is_known:
        parts.append("The best values are not known.")
    if findings := session.findings:
        items = [
            f"<li>{_SIGNS[one.severity]} {one.rule}"
            f"{f', {_text(one.layer)}' if one.layer else ''}: {_text(one.what)}. <i>{_text(one.advice)}.</i></li>"
            for one in findings[:SHOWN_FINDINGS]
        ]
        parts.append(f"<ul>{''.join(items)}</ul>{_more(len(findings), SHOWN_FINDINGS, 'finding')}")
    elif state.step:
        parts.append("The rules found nothing; tuimon doctor says which of them could look.")
    parts += [_text(words) for words in session.unread]
    return f"<div>{''.join(f'<div>{part}</div>' for part in parts)}</div>"


def _text(words: str) -> str:
    return escape(plain(words))


def _more(found: int, shown: int, what: str) -> str:
    left = found - shown
    return f"and {count(left)} more {what}{'s' if left > 1 else ''}" if left > 0 else ""
