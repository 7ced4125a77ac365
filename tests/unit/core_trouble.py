"""Nodes with several apps, and every way in which what is seen of one becomes unknown."""

from __future__ import annotations

from typing import Any

from tests.unit.core_play import Play


def fleet(*apps: str, **changes: Any) -> Play:  # noqa: ANN401 - as for Play()
    """A play in which these apps run r1."""
    play = Play(**changes)
    for app in apps:
        play.push(app, "r1")
    play.rest()
    return play


def trouble_of_the_root(play: Play, on: bool) -> None:
    play.root_trouble("ENOTCONN" if on else "")


def trouble_of_the_app(play: Play, on: bool) -> None:
    play.app_trouble("web", "EIO" if on else "")


def trouble_of_the_watcher(play: Play, on: bool) -> None:
    if on:
        play.watcher.hang()
    else:
        play.watcher.come_back()


def trouble_of_the_mount(play: Play, on: bool) -> None:
    if on:
        play.unmount()
    else:
        play.mount()


TROUBLES = [trouble_of_the_root, trouble_of_the_app, trouble_of_the_watcher, trouble_of_the_mount]
