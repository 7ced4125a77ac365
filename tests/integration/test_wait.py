"""`wait` right after a change: 0 only once just that runs, never 1 for what gets there.

WAIT_DEPLOYS says how many changes each app sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from appagent.model.exit_codes import Refused
from tests.integration.node import APPS, Node, SymlinkApp, TreeApp, node, wait_until, write_files
from tests.integration.shown import together
from tests.waits import CANNOT, THERE, Waited, keep_waiting, rounds

BODY = """\
\t@if [ $@ = restart ] && [ -e broken ]; then echo no database >&2; exit 1; fi
\t@case $@ in start|restart) echo "$$(cat version) $$GREETING" > {base}/runs.$$APP_NAME;; esac"""


@pytest.fixture(scope="module", params=["inotify", "poll"])
def made(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Node]:
    """A node as it is by default, but for `settle`."""
    with node(tmp_path_factory.mktemp("wait"), watch=request.param) as one:
        one.settings["parallel_apps"] = 8
        one.write_config()
        one.start()
        yield one


def wait(made: Node, *apps: str, timeout: float = 60.0) -> int:
    """`appagent wait`, without a command's time to start; its exit code."""
    try:
        made.ask("wait", apps=list(apps), timeout=timeout)
    except Refused as refused:
        return refused.code
    return THERE


def runs(made: Node, name: str) -> str:
    """What an app runs."""
    file = made.base / f"runs.{name}"
    return file.read_text().strip() if file.exists() else ""


def deploy(made: Node, app: TreeApp, version: str, broken: bool) -> None:
    """Put a release there; one that is broken fails to restart."""
    body = BODY.format(base=made.base) + (f"\n\t@# {version}" if broken else "")
    makefile = made.makefile(body if not broken else body.replace("-e broken", "-e version"))
    app.deploy(version, makefile)


@pytest.mark.timeout(3600)
def test_wait_after_a_change_answers_0_when_just_that_runs_and_never_1(made: Node) -> None:
    tasks = []
    for layout, kind in APPS.items():
        app = kind(made, layout)
        waited = Waited(
            name=layout,
            deploy=partial(deploy, made, app),
            greet=lambda word, name=layout: made.set_env(name, f"GREETING={word}\n"),  # type: ignore[misc]
            wait=partial(wait, made, layout),
            runs=partial(runs, made, layout),
            calm=partial(made.ask, "trigger", app=layout),
        )
        tasks.append(partial(keep_waiting, waited, rounds()))
    together(tasks)


@pytest.mark.parametrize("kind", [SymlinkApp, TreeApp])
def test_an_app_that_has_just_been_made_is_waited_for(made: Node, kind: type[TreeApp]) -> None:
    for number in range(rounds(2)):
        for named in (True, False):
            app = kind(made, f"{kind.layout}-new-{number}-{named}")
            (made.root / app.name).mkdir()
            wait(made, timeout=0.0)  # … so it was seen before it was an app
            deploy(made, app, "1", False)
            assert wait(made, *([app.name] if named else [])) == THERE
            assert runs(made, app.name).split() == ["1"]


def test_a_name_that_is_no_app_yet_is_waited_for(made: Node) -> None:
    codes = []
    waiting = partial(wait, made, "later")

    def later() -> None:
        deploy(made, TreeApp(made, "later"), "1", False)

    together([lambda: codes.append(waiting()), later])
    assert codes == [THERE]
    assert runs(made, "later") == "1"


def test_what_fails_for_good_is_1_and_its_mending_is_0(made: Node) -> None:
    app = TreeApp(made, "plain")
    deploy(made, app, "1", False)
    assert wait(made, "plain") == THERE
    deploy(made, app, "2", True)
    assert wait(made, "plain") == CANNOT
    assert made.app("plain")["state"] == "failed"
    write_files(app.path, {"note": "nothing of it yet"})
    assert wait(made, "plain") == CANNOT  # it was tried as it is now, and failed again
    deploy(made, app, "3", False)
    assert wait(made, "plain") == THERE
    assert runs(made, "plain") == "3"


def test_a_trigger_that_waits_speaks_of_what_is_there_now(made: Node) -> None:
    app = TreeApp(made, "asked")
    for version in ("1", "2", "3"):
        deploy(made, app, version, False)
        if version == "1":
            wait_until(lambda: made.app("asked"), "it is known")
        try:
            made.ask("trigger", app="asked", wait=True, timeout=60.0)
        except Refused as refused:
            assert refused.code == 75, refused  # noqa: PT017 - not looked at yet
            assert wait(made, "asked") == THERE
        assert runs(made, "asked") == version
