"""Tables for a terminal: aligned columns, whatever the width of their letters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from appagent.host.text import one_line
from appagent.report.text import cut, wrap
from appagent.report.text import width as width_of

GAP = "  "
NAME_LEAST, LAST_LEAST = 8, 20  # columns

Painter = Callable[[int, int, str], str]  # row (0: the header), column, text → the text in colour


def table(
    rows: Sequence[Sequence[str]],
    columns: int = 0,
    *,
    right: Collection[int] = (),
    paint: Painter | None = None,
) -> list[list[str]]:
    """Lay out rows, the header first; gives the lines of each row.

    With `columns`, no line is longer: the last column is cut, and a name in the first one that is
    too long has lines of its own. The numbers of columns in `right` are aligned to the right.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    wide = [max(map(width_of, column)) for column in zip(*cells, strict=True)]
    if columns:
        others = sum(wide[1:-1]) + min(wide[-1], LAST_LEAST) + len(GAP) * (len(wide) - 1)
        wide[0] = min(wide[0], max(NAME_LEAST, columns - others))
    colour = paint or _as_it_is
    return [_lines(row, number, wide, columns, right, colour) for number, row in enumerate(cells)]


def _lines(  # noqa: PLR0913, PLR0917 - the parts of one layout
    cells: Sequence[str],
    number: int,
    wide: Sequence[int],
    columns: int,
    right: Collection[int],
    paint: Painter,
) -> list[str]:
    above: list[str] = []
    name, *others = cells
    if width_of(name) > wide[0]:
        above, name = [paint(number, 0, line) for line in wrap(name, columns)], ""
    shown = []
    room = columns
    for place, cell in enumerate((name, *others)):
        last = place == len(cells) - 1
        text = cut(cell, max(room, 1)) if last and columns else cell
        space = " " * (wide[place] - width_of(text))
        painted = paint(number, place, text) if text else ""
        if place in right:
            shown.append(space + painted)
        else:
            shown.append(painted if last else painted + space)
        room -= wide[place] + len(GAP)
    return [*above, GAP.join(shown).rstrip()]


def _as_it_is(_: int, __: int, text: str) -> str:
    return text
