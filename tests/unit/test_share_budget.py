"""Scanning takes a tenth of the time, whatever there is to scan; each tree waits for itself."""

from __future__ import annotations

import pytest

from appagent.share.budget import Budget


def played(takes: dict[str, float], every: float = 2.0, end: float = 20_000.0) -> dict[str, float]:
    """Scan trees that take so long, each `every` seconds where it is free to; its mean interval."""
    budget = Budget(0.0)
    due = dict.fromkeys(takes, 0.0)
    scans = dict.fromkeys(takes, 0)
    now = 0.0
    while now < end:
        key = min(due, key=lambda one: due[one])
        now = max(now, due[key])
        free = budget.free_at(key, now)
        if free > now:
            due[key] = free
            continue
        scans[key] += 1
        due[key] = now + every
        now += takes[key]
        budget.pay(key, now, takes[key])
    spent = sum(takes[key] * count for key, count in scans.items())
    assert spent <= 0.1 * now + 3.0 + sum(takes.values())
    return {key: end / count for key, count in scans.items()}


@pytest.mark.parametrize("takes", [0.001, 0.05, 0.7, 30.0])
def test_one_tree_is_scanned_for_a_tenth_of_the_time(takes: float) -> None:
    assert played({"tree": takes})["tree"] == pytest.approx(max(2.0, takes * 10), rel=0.1)


def test_a_large_tree_slows_itself_alone() -> None:
    found = played({"small": 0.02, "large": 60.0})
    assert found["small"] < 3.0  # those that fall into a scan of the large one are late
    assert found["large"] == pytest.approx(60.0 / 0.09, rel=0.1)


def test_trees_of_one_size_are_scanned_equally_often() -> None:
    found = played({f"tree{number}": 0.06 for number in range(10)})
    assert list(found.values()) == [pytest.approx(6.0, rel=0.1)] * 10


def test_what_some_leave_goes_to_the_others() -> None:
    found = played({"tiny": 0.001, "small": 0.01, "one": 0.5, "two": 0.5})
    assert found["tiny"] == pytest.approx(2.0, rel=0.2)
    assert found["small"] == pytest.approx(2.0, rel=0.2)
    assert found["one"] == pytest.approx(found["two"], rel=0.1)
    assert found["one"] == pytest.approx(2 * 0.5 / 0.0945, rel=0.1)


def test_after_a_quiet_time_a_few_scans_go_at_once() -> None:
    budget = Budget(0.0)
    now = 100.0
    for _ in range(5):
        assert budget.free_at("tree", now) == now
        now += 0.1
        budget.pay("tree", now, 0.1)


def test_scans_that_wait_for_nothing_are_paid_up_to_a_bound() -> None:
    budget = Budget(0.0)
    budget.pay("tree", 0.0, 2.0)
    assert budget.free_at("tree", 0.0) == pytest.approx(10.0)
    budget.pay("tree", 0.0, 2.0)
    assert budget.free_at("tree", 0.0) == pytest.approx(30.0)
    for _ in range(100):
        budget.pay("tree", 0.0, 2.0)
    assert budget.free_at("tree", 0.0) == pytest.approx(240.0)


def test_an_account_that_is_closed_takes_nothing() -> None:
    budget = Budget(0.0)
    budget.pay("tree", 0.0, 2.0)
    budget.pay("gone", 0.0, 100.0)
    shared = budget.free_at("tree", 0.0)
    budget.drop("gone")
    assert budget.free_at("tree", 0.0) < shared


def test_many_that_begin_together_have_no_more_saved_than_one() -> None:
    budget = Budget(0.0)
    for tree in range(50):
        budget.pay(tree, 0.0, 0.01)
    at_once = 50
    for tree in range(50):
        while budget.free_at(tree, 0.0) == 0.0:
            budget.pay(tree, 0.0, 0.01)
            at_once += 1
    assert at_once * 0.01 <= 1.0 + 2 * 50 * 0.01  # one that found the account, and one on credit
