"""What the codec writes comes back equal; what is not what it wrote is refused, never a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appagent.model.applied import Applied, Failure, Hold, Identity, Record
from appagent.model.codec import MAX_BYTES, Damaged, Newer, decode, dump, parse, to_json
from appagent.model.seen import AppSeen, Beat, RootSeen, Slow
from appagent.model.settings import AppSettings
from appagent.model.words import Layout, Location, Outcome, Target, Version
from tests.unit.a_run import run_of

FULL = Record(
    app="web",
    root="/files/production",
    applied=Applied("symlink.1:a", Version("symlink.1:a", "env.1:1"), None, "boot-1"),
    ran=Location("symlink.1:a", "/files/production/web/releases/caf\udce9", Layout.SYMLINK),
    ignore=("*.log", "tmp/"),
    last_good=Version("symlink.1:0", "env.1:0"),
    failures=(Failure(Version("r", "c"), Target.CHECK, Outcome.TIMEOUT, "too slow", 1.5),),
    failed_for=Version("r", "c"),
    stopped=True,
    mass_removal=True,
    hold=Hold("a sale", 1e9, "root"),
    run=replace(run_of(), deploy="d1", identity=Identity(17, 4711, "web.scope")),
    ended="r0",
)


def test_a_full_record_comes_back_equal() -> None:
    assert parse("record", Record, dump("record", FULL)) == FULL


def test_a_bare_record_comes_back_equal() -> None:
    bare = Record("web", "/files")
    assert parse("record", Record, dump("record", bare)) == bare


def test_other_values_of_the_model_come_back_equal() -> None:
    settings = AppSettings(timeout={Target.STOP: 3.0}, limits={"memory": "1G"})
    assert decode(AppSettings, json.loads(to_json(settings))) == settings
    look = AppSeen("/files", "web", known=True, layout=Layout.TREE, changing=("a", "b"))
    assert decode(AppSeen, json.loads(to_json(look))) == look


def test_what_a_watcher_says_comes_back_equal() -> None:
    seen = RootSeen("/files", known=True, names=("a\udce9", 'b"\\u0000'), refused={"c": "no"})
    assert decode(RootSeen, json.loads(to_json(seen))) == seen
    beat = Beat(1.5, 2.5, 3.5, slow=(Slow("/files", "a", 4.0, 0.5),))
    assert decode(Beat, json.loads(to_json(beat))) == beat


@dataclass(frozen=True)
class Key:
    """A value with bytes."""

    secret: bytes
    of: frozenset[str] = frozenset()


def test_bytes_and_sets_come_back_equal() -> None:
    key = Key(b"\0\xff", frozenset(("b", "a")))
    assert to_json(key) == b'{"secret":"00ff","of":["a","b"]}\n'
    assert decode(Key, json.loads(to_json(key))) == key
    with pytest.raises(Damaged, match=r"Key\.secret: expected hexadecimal digits, got 'x'"):
        decode(Key, {"secret": "x"})


def test_what_is_wrong_is_found_by_its_place() -> None:
    body = json.loads(to_json(FULL))
    body["failures"][0]["version"]["release"] = 1
    with pytest.raises(Damaged, match=r"^Record\.failures\[0\].*: expected a string, got 1"):
        decode(Record, body)


def test_a_whole_number_is_a_fine_float_but_a_truth_is_not() -> None:
    assert decode(Hold, {"why": "w", "until": 5}) == Hold("w", 5.0)
    with pytest.raises(Damaged, match=r"Hold\.until: expected a number, got True"):
        decode(Hold, {"why": "w", "until": True})


def test_a_field_of_the_future_in_the_same_format_is_passed_over() -> None:
    assert decode(Hold, {"why": "w", "colour": "red"}) == Hold("w")


def test_a_field_without_default_must_be_there() -> None:
    with pytest.raises(Damaged, match="no why"):
        decode(Hold, {})


def test_a_higher_format_is_newer_whatever_else_is_in_it() -> None:
    with pytest.raises(Newer, match="format 2"):
        parse("record", Record, b'{"format": 2, "something": []}')


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n \n",
        b"\0" * 100,
        b"{",
        b"null",
        b"[1]",
        b"[" * 100_000,
        b'{"format": 1}',
        b'{"format": true, "record": {}}',
        b'{"format": 0, "record": {}}',
        b'{"format": "1", "record": {}}',
        b'{"format": 1, "record": {"app": 1, "root": "/"}}',
        b'{"format": 1, "record": {"app": "a\\u0000", "root": "/"}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "run": {"layout": "heap"}}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "ran": []}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "release_dir": "/", "last_good": [1]}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "release_dir": "/", "applied": []}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "ignore": "x"}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "failures": [[]]}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "stopped": 0}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "hold": {"why": "", "until": NaN}}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "hold": {"why": "", "until": 1e999}}}',
        b'{"format": 1, "record": {"app": "\xff", "root": "/"}}',
        b'{"format": 1, "record": {"app": "a", "root": "/", "x": ' + b"9" * 5000 + b"}}",
        b" " * (MAX_BYTES + 1),
    ],
)
def test_what_is_not_a_record_is_damaged(content: bytes) -> None:
    with pytest.raises(Damaged):
        parse("record", Record, content)


def test_every_truncation_is_damaged() -> None:
    content = dump("record", FULL)
    for length in range(len(content.rstrip())):
        with pytest.raises(Damaged):
            parse("record", Record, content[:length])


def test_a_wrong_type_anywhere_is_damaged() -> None:
    body = json.loads(dump("record", FULL))
    wrong: object = {"a": 1}
    for where in (("applied", "up"), ("run", "began"), ("run", "target"), ("failures",)):
        changed = json.loads(json.dumps(body))
        inside = changed["record"]
        for key in where[:-1]:
            inside = inside[key]
        inside[where[-1]] = wrong
        with pytest.raises(Damaged, match=where[-1]):
            parse("record", Record, json.dumps(changed).encode())


@given(st.binary(max_size=200))
def test_random_bytes_are_never_a_crash(content: bytes) -> None:
    with pytest.raises((Damaged, Newer)):
        parse("record", Record, content)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=20)


@given(texts, texts, st.none() | st.floats(-1e18, 1e18))
def test_any_text_and_time_comes_back_equal(release: str, why: str, until: float | None) -> None:
    record = replace(FULL, last_good=Version(release, why), hold=Hold(why, until))
    assert parse("record", Record, dump("record", record)) == record


any_text = st.text(st.characters(exclude_categories=()), max_size=20)


@given(any_text, any_text, any_text)
@example("a\0b", "a\0b", "a\0b")
@example("\udcff", "\udcff", "\udcff")
def test_whatever_text_comes_from_outside_the_record_can_be_read_again(
    release: str, why: str, line: str
) -> None:
    failure = Failure(Version(release, ""), Target.START, Outcome.FAILED, line, 1.0)
    record = replace(FULL, hold=Hold(why, None, why), failures=(failure,), ignore=(line,))
    read = parse("record", Record, dump("record", record))
    assert read.hold is not None
    assert read.hold.why == why.replace("\0", "\ufffd")
    assert read.failures[0].line == line.replace("\0", "\ufffd")
    assert parse("record", Record, dump("record", read)) == read


def test_what_cannot_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        to_json(Hold("w", float("inf")))
    with pytest.raises(ValueError, match="object"):
        to_json(object())
