"""How findings are shown."""

import json

import pytest

from appagent.doctor.finding import note, ok, problem, warning
from appagent.doctor.output import as_json, as_text, in_order, summary
from appagent.report.terminal import Screen

FOUND = [
    ok("a", "right"),
    note("b", "by the way"),
    problem("c", "broken", "fix it"),
    warning("d", "soon", "check it"),
    problem("c", "broken", "fix it"),
]


def test_the_worst_comes_first_and_nothing_twice() -> None:
    assert [one.about for one in in_order(FOUND)] == ["c", "d", "b", "a"]


def test_a_person_reads_a_line_for_each_and_what_to_do() -> None:
    assert as_text(in_order(FOUND)).splitlines() == [
        "problem  c: broken",
        "         -> fix it",
        "warning  d: soon",
        "         -> check it",
        "note     b: by the way",
        "1 problem, 1 warning, 1 note; 1 check ok (doctor -v lists them)",
    ]


def test_what_is_ok_is_listed_with_verbose() -> None:
    *_, fine, last = as_text(in_order(FOUND), verbose=True).splitlines()
    assert fine == "ok       a: right"
    assert last == "1 problem, 1 warning, 1 note; 1 check ok"


def test_lines_are_wrapped_and_indented_on_a_terminal() -> None:
    long = problem("app web", "this is a long text", "and this is long too")
    assert as_text([long], Screen(24, 50)).splitlines()[:-1] == [
        "problem  app web: this",
        "         is a long text",
        "         -> and this is",
        "            long too",
    ]


def test_the_level_alone_has_a_colour() -> None:
    first, *_ = as_text(in_order(FOUND), Screen(80, 50, colour=True)).splitlines()
    assert first == "\x1b[1;31mproblem \x1b[0m c: broken"


@pytest.mark.parametrize(
    ("about", "text", "shown"),
    [
        ("env file /e", "env file /e does not exist", "env file /e: does not exist"),
        ("env file /e", "/e:3: has no =", "env file /e: /e:3: has no ="),
        ("root /x", "/x cannot be listed", "root /x: cannot be listed"),
        ("root /x", "/x: cannot be listed", "root /x: cannot be listed"),
        ("root /x", "/xy is not /x", "root /x: /xy is not /x"),
        ("app web", "web is broken", "app web: is broken"),
    ],
)
def test_nothing_stands_twice_in_a_line(about: str, text: str, shown: str) -> None:
    assert as_text([problem(about, text, "fix it")]).splitlines()[0] == f"problem  {shown}"


def test_a_program_reads_a_list() -> None:
    assert json.loads(as_json(in_order(FOUND)))[0] == {
        "level": "problem",
        "about": "c",
        "text": "broken",
        "do": "fix it",
    }


def test_names_from_a_share_cannot_forge_lines_or_move_the_cursor() -> None:
    forged = [problem("app x\nok       y", "bad \x1b[2J\x1b]0;t\x07name\r\n\u202e", "rm\nproblem")]
    text = as_text(forged)
    assert text.count("\n") == 3
    assert "\x1b" not in text
    assert "\u202e" not in text
    (shown,) = json.loads(as_json(forged))
    assert shown["about"] == "app x ok y"
    assert shown["text"] == "bad name"


def test_no_finding_at_all_has_a_summary_too() -> None:
    assert summary([]) == "no problems; 0 checks ok"
