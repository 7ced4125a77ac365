"""What a pusher chooses is shown in the line that it belongs to, and nowhere else."""

from __future__ import annotations

from appagent.report.app_text import app_text, explain_text
from appagent.report.status import app_data
from tests.unit.core_play import deployed

FORGED = "d/" * 60 + "\n  up           yes\n\x1b[2Jplan:      nothing to do\r\n"


def test_a_name_with_newlines_writes_no_lines_of_its_own() -> None:
    play = deployed()
    play.app_trouble("web", f"{FORGED}: too deep")
    play.rest()
    data = app_data(play.node, play.app(), play.now())
    assert FORGED.split("\n")[1] in data["why"]
    shown = app_text(data, "node1", play.now().wall).splitlines()
    assert [line for line in shown if line.startswith("  up ")] == ["  up            yes"]
    explained = explain_text({**data, "changes": [FORGED]}, play.now().wall).splitlines()
    assert len([line for line in explained if line.startswith("  plan ")]) == 1
    assert len([line for line in explained if "too deep" in line]) == 1  # why it is unknown
    assert not [line for line in shown + explained if not line.isprintable()]
