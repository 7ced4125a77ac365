"""How findings are shown."""

import json

import pytest

from appagent.doctor.finding import note, ok, problem, warning
from appagent.doctor.output import as_json, as_text, sorted_out, summary

FOUND = [
    ok("a", "fine"),
    note("b", "by the way"),
    problem("c", "broken", "mend it"),
    warning("d", "soon", "look"),
    problem("c", "broken", "mend it"),
]


def test_the_worst_comes_first_and_nothing_twice() -> None:
    assert [one.about for one in sorted_out(FOUND)] == ["c", "d", "b", "a"]


def test_a_person_reads_a_line_for_each_and_what_to_do() -> None:
    assert as_text(sorted_out(FOUND)).splitlines() == [
        "problem  c: broken",
        "         -> mend it",
        "warning  d: soon",
        "         -> look",
        "note     b: by the way",
        "ok       a: fine",
        "1 problem, 1 warning, 1 note, 1 fine",
    ]


@pytest.mark.parametrize(
    ("about", "text", "shown"),
    [
        ("env file /e", "env file /e is not there", "env file /e: is not there"),
        ("env file /e", "/e:3: is no assignment", "env file /e: /e:3: is no assignment"),
        ("root /x", "/x cannot be listed", "root /x: cannot be listed"),
        ("root /x", "/x: cannot be listed", "root /x: cannot be listed"),
        ("root /x", "/xy is not /x", "root /x: /xy is not /x"),
        ("app web", "web is broken", "app web: is broken"),
    ],
)
def test_nothing_is_said_twice_in_a_line(about: str, text: str, shown: str) -> None:
    assert as_text([problem(about, text, "mend it")]).splitlines()[0] == f"problem  {shown}"


def test_a_program_reads_a_list() -> None:
    assert json.loads(as_json(sorted_out(FOUND)))[0] == {
        "level": "problem",
        "about": "c",
        "text": "broken",
        "do": "mend it",
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


def test_nothing_found_is_said_too() -> None:
    assert summary([]) == "nothing was found"
