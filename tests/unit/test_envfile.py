"""Env files: what systemd would read, what is refused, and a digest of the meaning alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appagent.core.envfile import MAX_BYTES, MAX_PAIR, EnvFileError, decode, digest, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A=b", "b"),
        ("A=", ""),
        ("  A = b  ", "b"),
        ("A=b c", "b c"),
        ("A=b\t \r", "b"),
        ("A='b c'", "b c"),
        ("A=' b '", " b "),
        ("A='$HOME \\n'", "$HOME \\n"),
        ('A="b c"', "b c"),
        ('A="b\nc"', "b\nc"),
        ("A='b\nc'", "b\nc"),
        ('A="\\"\\\\\\$\\`\\n"', '"\\$`\\n'),
        ('A="b\\\nc"', "bc"),
        ("A=b\\\nc", "bc"),
        ("A=b\\ ", "b "),
        ("A=b\\\\", "b\\"),
        ("A=b\\", "b"),
        ("A='b'\"c\"d", "bcd"),
        ("A='b' 'c'", "bc"),
        ("A=b'c'", "b'c'"),
        ("A=b#c", "b#c"),
        ("A=b # c", "b # c"),
        ("A=$B ${B} `c` $(d)", "$B ${B} `c` $(d)"),
        ("A=b=c", "b=c"),
        ("A=ä", "ä"),
        ("A=b\n", "b"),
    ],
)
def test_a_value_is_what_systemd_would_make_of_it(text: str, value: str) -> None:
    assert parse(text, "f") == [("A", value)]


def test_comments_and_empty_lines_are_skipped() -> None:
    text = "# a\n\n  ; b=c\n \t\nA=1\n#A=2\\\nB=3\n"
    assert parse(text, "f") == [("A", "1"), ("B", "3")]


def test_a_name_may_be_set_twice_and_the_last_counts() -> None:
    items = parse("A=1\nA=2", "f")
    assert dict(items) == {"A": "2"}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("A=1\nB", "f:2: there is no ="),
        ("A=1\n=2", "f:2: a name is missing"),
        ("export A=1", "f:1: write NAME=value without export"),
        ("1A=2", "f:1: the name before ="),
        ("A-B=2", "f:1: the name before ="),
        ("A B=2", "f:1: the name before ="),
        ("Ä=2", "f:1: the name before ="),
        ("\n\nA='b\n\n", "f:3: the quote that begins in the value of A"),
        ('A="b\\', "f:1: the quote"),
        ("A=1\n" + "B" * 300 + "=1", "f:2: the name before = is longer"),
        ("A=" + "b" * MAX_PAIR, "f:1: A is longer"),
        ("<<<<<<< HEAD\nA=1\n", "f:1: there is no ="),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_line(text: str, where: str) -> None:
    with pytest.raises(EnvFileError) as error:
        parse(text, "f")
    assert str(error.value).startswith(where)


def test_a_refusal_never_repeats_a_value() -> None:
    for text in ("A=1\nhunter2", "hunter2 x=1", "A='hunter2", 'A="hunter2', "export A=hunter2"):
        with pytest.raises(EnvFileError) as error:
            parse(text, "f")
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"A=1\nB=\xff", "f:2: is not UTF-8"),
        (b"A=1\n\nB=\0", "f:3: holds a NUL"),
        (b"\xef\xbb\xbfA=1", "f:1: begins with a byte order mark"),
        (b"#" * (MAX_BYTES + 1), "f: is larger"),
    ],
)
def test_bytes_that_are_no_text_are_refused(data: bytes, where: str) -> None:
    with pytest.raises(EnvFileError) as error:
        decode(data, "f")
    assert str(error.value).startswith(where)


def test_the_digest_is_of_the_meaning_alone() -> None:
    secret = b"s" * 32
    same = [
        "A=1\nB=2",
        "B=2\nA=1",
        "# why\nA='1'\n\nB=\"2\"",
        "A=0\nA=1\nB=2",
    ]
    assert len({digest(secret, parse(text, "f")) for text in same}) == 1
    other = ["A=1\nB=3", "A=1", "A=1\nB=2\nC=", "AB=12", ""]
    ids = {digest(secret, parse(text, "f")) for text in [same[0], *other]}
    assert len(ids) == 1 + len(other)


def test_the_digest_says_nothing_without_the_secret() -> None:
    items = parse("A=1", "f")
    assert digest(b"x" * 32, items) != digest(b"y" * 32, items)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0'"), max_size=60))
def test_anything_in_single_quotes_comes_back(value: str) -> None:
    assert parse(f"A='{value}'", "f") == [("A", value)]


@given(st.text(st.sampled_from("AB=#;'\"\\\n \t$x"), max_size=40))
def test_any_text_is_read_or_refused_and_a_comment_before_it_changes_nothing(text: str) -> None:
    def meaning(of: str) -> str:
        try:
            return digest(b"s", parse(of, "f"))
        except EnvFileError:
            return "refused"

    assert meaning(text) == meaning("# more\n" + text)
