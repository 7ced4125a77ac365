"""Tables for a terminal: aligned columns, whatever the width of their letters."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from appagent.host.text import one_line
from appagent.report.text import width, wrap

GAP = "  "
NAME_LEAST, LAST_LEAST = 8, 20  # columns

Painter = Callable[[int, int, str], str]  # row (0: the header), column, text → the text in colour


def table(
    rows: Sequence[Sequence[str]],
    columns: int = 0,
    *,
    right: Collection[int] = (),
    paint: Painter = lambda _, __, text: text,
) -> list[list[str]]:
    """Lay out rows, the header first; gives the lines of each row.

    With `columns`, no line is longer: a name in the first column that is too long has lines of its
    own above the others, a text in the last one that does not fit has lines below them. The numbers
    of columns in `right` are aligned to the right.
    """
    cells = [[one_line(cell) for cell in row] for row in rows]
    wide = [max(map(width, column)) for column in zip(*cells, strict=True)]
    final = len(wide) - 1
    if columns:
        others = sum(wide[1:-1]) + min(wide[-1], LAST_LEAST) + len(GAP) * final
        wide[0] = min(wide[0], max(NAME_LEAST, columns - others))
    begin = sum(wide[:-1]) + len(GAP) * final  # of the last column

    def lines(number: int, row: list[str]) -> list[str]:
        above: list[str] = []
        below: list[str] = []
        if width(row[0]) > wide[0]:
            above, row[0] = [paint(number, 0, line) for line in wrap(row[0], columns)], ""
        if columns and final and begin + width(row[final]) > columns:
            below, row[final] = wrap(row[final], columns, "    ", "  "), ""
        shown = []
        for index, cell in enumerate(row):
            space = " " * (wide[index] - width(cell))
            painted = paint(number, index, cell) if cell else ""
            shown.append(space + painted if index in right else painted + space)
        return [*above, GAP.join(shown).rstrip(), *below]

    return [lines(number, row) for number, row in enumerate(cells)]
