"""The keys as the documentation's table; `python -m tests.config_table` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from appagent.config.schema import NODE, ListOf, MapOf, Table
from appagent.config.values import Kind

_HEAD = ("| key | value | default | what it does |", "|---|---|---|---|")


class Row(NamedTuple):
    """One key as the documentation shows it."""

    path: str
    expected: str
    default: str
    description: str
    planned: bool


def rows(table: Table = NODE, under: str = "", *, planned: bool = False) -> Iterator[Row]:
    """Yield every key that holds a value, in order, once; `apps.<name>` only as a whole."""
    for key in table.keys.values():
        path = f"{under}.{key.name}" if under else key.name
        rest = (key.default, key.description, planned or key.planned)
        match key.type:
            case Table():
                yield from rows(key.type, path, planned=planned or key.planned)
            case ListOf(items=Table() as items):
                yield from rows(items, f"{path}[]", planned=planned or key.planned)
            case ListOf(items=Kind() as kind):
                yield Row(path, f"a list; each {kind.expected}", *rest)
            case MapOf():
                yield Row(f"{path}.<name>", "a map", *rest)
            case Kind():
                yield Row(path, key.type.expected, *rest)


def markdown() -> str:
    """Render the table, one line for each key."""
    return "\n".join((*_HEAD, *map(_line, rows()))) + "\n"


def _line(row: Row) -> str:
    default = f"`{_cell(row.default)}` " if row.default else ""
    description = f"planned: {row.description}" if row.planned else row.description
    return f"| `{row.path}` | {_cell(row.expected)} | {default}| {_cell(description)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - that is what it is run for
