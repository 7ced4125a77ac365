"""Several files, anchors, and who wins: the defaults, the app's own, or `apps.<name>`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appagent.config import load, parse_app_file
from appagent.core.settings import settings_for
from appagent.model.settings import DEFAULT_TIMEOUT, AppSettings, Rollout, RootSettings
from appagent.model.words import Target
from tests.config_texts import AS_PERSON, AS_ROOT, GOOD, errors_of, loaded, of, written


def test_later_files_win_key_by_key_in_lexical_order(tmp_path: Path) -> None:
    """Maps merge; a scalar or a list of a later file replaces the earlier one whole."""
    result = loaded(
        tmp_path,
        main=GOOD + "environment: a\nnode: a\ndefaults: {settle: 1s, grace: 1s, ignore: [a, b]}\n",
        b20="environment: c\ndefaults: {timeout: {stop: 2s}}\n",
        b10="environment: b\ndefaults: {settle: 3s, ignore: [c], timeout: {stop: 1s, start: 9s}}\n",
        b30="# nothing\n",
    )
    settings = result.settings
    assert (settings.environment, settings.node) == ("c", "a")
    assert settings.defaults == AppSettings(
        settle=3.0,
        grace=1.0,
        ignore=("c",),
        timeout={**DEFAULT_TIMEOUT, Target.STOP: 2.0, Target.START: 9.0},
    )
    names = ["appagent.yaml", "conf.d/b10.yaml", "conf.d/b20.yaml", "conf.d/b30.yaml"]
    assert result.files == tuple(f"{tmp_path}/{name}" for name in names)


def test_apps_of_several_files_merge(tmp_path: Path) -> None:
    """One file per app is a good way to write it."""
    settings = loaded(
        tmp_path,
        main=GOOD + "apps: {web: {settle: 1s, rollout: {first: 2}}}\n",
        api="apps: {api: {grace: 1s}}\n",
        nothing="apps:\ndefaults:\n",
        web="apps: {web: {grace: 2s, rollout: {parallel: 10%}}}\n",
    ).settings
    assert settings.apps == {
        "web": {
            "settle": 1.0,
            "grace": 2.0,
            "rollout": Rollout(first=2, parallel_share=0.1),
        },
        "api": {"grace": 1.0},
    }


def test_roots_of_several_files_are_added_or_merged_by_path(tmp_path: Path) -> None:
    """A file may add a root, or settings of one; it never removes one."""
    settings = loaded(
        tmp_path,
        main=GOOD + "    include: [web]\n",
        a="roots:\n  - {path: /files/production/, include: [api], fleet: off}\n",
        b="roots:\n  - {path: /files/staging, run_as: deploy}\n",
        c="roots: []\n",
    ).settings
    assert settings.roots == (
        RootSettings("/files/production", run_as="www-data", include=("api",), fleet=False),
        RootSettings("/files/staging", run_as="deploy"),
    )


def test_all_roots_may_come_from_conf_d(tmp_path: Path) -> None:
    """The main file may be empty, and the user may stand in another file than the path."""
    settings = loaded(
        tmp_path,
        main="",
        a="roots:\n- path: /f\n",
        b="roots:\n- {path: /f, run_as: www-data}\n",
    ).settings
    assert settings.roots == (RootSettings("/f", run_as="www-data"),)


def test_only_yaml_files_of_conf_d_are_read(tmp_path: Path) -> None:
    """What an editor leaves behind is passed over; a likely mistake is a warning."""
    (tmp_path / "conf.d").mkdir()
    for name in (".#a.yaml", "a.yaml~", "a.yaml.rpmnew", "README"):
        (tmp_path / "conf.d" / name).write_text("]")
    (tmp_path / "conf.d" / "a.yml").write_text("]")
    result = loaded(tmp_path, main=GOOD)
    assert result.warnings == (f"{tmp_path}/conf.d/a.yml: is not read: only *.yaml files are",)
    assert len(result.files) == 1


def test_the_variable_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an argument goes before it."""
    (tmp_path / "one.yaml").write_text(GOOD + "node: one\n")
    (tmp_path / "two.yaml").write_text(GOOD + "node: two\n")
    monkeypatch.setenv("APPAGENT_CONFIG", str(tmp_path / "one.yaml"))
    assert load(None, AS_ROOT).settings.node == "one"
    assert load(str(tmp_path / "two.yaml"), AS_ROOT).settings.node == "two"
    monkeypatch.chdir(tmp_path)
    assert load("two.yaml", AS_ROOT).settings.node == "two"


def test_a_file_that_a_group_may_write_is_a_warning_where_the_agent_is_root(
    tmp_path: Path,
) -> None:
    """It decides what root runs."""
    main = written(tmp_path, GOOD)
    if os.geteuid() == 0:
        os.chown(main, -1, 12)
    main.chmod(0o664)
    assert "the group 12 can write it" in load(str(main), AS_ROOT).warnings[0]


@pytest.mark.parametrize(
    ("what", "mode"),
    [
        ("appagent.yaml", 0o646),
        ("conf.d/a.yaml", 0o666),
        (".", 0o757),
        ("conf.d", 0o777),
        ("conf.d", 0o1777),
    ],
)
def test_what_everybody_may_write_is_refused_where_the_agent_is_root(
    what: str, mode: int, tmp_path: Path
) -> None:
    main = written(tmp_path, GOOD)
    written(tmp_path, "node: app1\n", "conf.d/a.yaml")
    open_one = tmp_path / what
    open_one.chmod(mode)
    (error,) = errors_of(main)
    message = f"everybody can write it, and it decides what root does: chmod o-w {open_one}"
    assert message.replace(f"{tmp_path}/", "") in error
    load(str(main), AS_PERSON)
    open_one.chmod(mode & ~0o002)
    load(str(main), AS_ROOT)


def test_a_main_file_in_a_sticky_directory_is_its_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    load(str(written(tmp_path, GOOD)), AS_ROOT)


def test_anchors_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    """What is written beside `<<` wins over what it brings, and so does the first of several."""
    settings = of(
        tmp_path,
        "apps:\n"
        "  web: &web {settle: 1s, grace: 1s, retry: &retry {first: 1s}}\n"
        "  api: {<<: *web, grace: 9s}\n"
        "  jobs: {<<: [{settle: 3s}, *web], retry: *retry}\n"
        "  old: *web\n",
    )
    web = {"settle": 1.0, "grace": 1.0, "retry_first": 1.0}
    assert settings.apps == {
        "web": web,
        "api": web | {"grace": 9.0},
        "jobs": web | {"settle": 3.0},
        "old": web,
    }


def test_a_byte_order_mark_and_other_line_ends_do_no_harm(tmp_path: Path) -> None:
    """Some editors write them."""
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf---\r\n" + GOOD.replace("\n", "\r\n").encode())
    assert load(str(tmp_path / "a.yaml"), AS_ROOT).settings.roots[0].run_as == "www-data"


def test_defaults_then_the_apps_own_then_what_the_node_says_of_it(tmp_path: Path) -> None:
    """Each key by itself."""
    settings = of(
        tmp_path,
        "defaults: {settle: 1s, grace: 9s, ignore: [a], install: parallel, gone_after: 5s}\n"
        "apps: {web: {grace: 3s}}\n",
    )
    own = parse_app_file("{settle: 2s, grace: 2s, ignore: [b]}", "web/appagent.yaml")
    assert settings_for(settings, "web", own) == AppSettings(
        settle=2.0, grace=3.0, ignore=("b",), install="parallel", gone_after=5.0
    )
    assert settings_for(settings, "api", own).grace == 2.0


def test_an_app_may_shorten_its_timeouts_and_not_lengthen_them(tmp_path: Path) -> None:
    """The node may, for this one app."""
    settings = of(
        tmp_path,
        "defaults: {timeout: {install: 5m}}\napps: {web: {timeout: {restart: 10m}}}\n",
    )
    own = parse_app_file("timeout: {install: 1h, start: 5s, restart: 1s}", "web/appagent.yaml")
    assert settings_for(settings, "web", own).timeout == {
        **DEFAULT_TIMEOUT,
        Target.INSTALL: 300.0,
        Target.START: 5.0,
        Target.RESTART: 600.0,
    }


def test_an_app_may_shorten_its_grace_and_not_lengthen_it(tmp_path: Path) -> None:
    settings = of(tmp_path, "defaults: {grace: 4s}\napps: {web: {grace: 1m}}\n")
    for own, wanted in [("10m", 4.0), ("1s", 1.0)]:
        fields = parse_app_file(f"grace: {own}", "api/appagent.yaml")
        assert settings_for(settings, "api", fields).grace == wanted
        assert settings_for(settings, "web", fields).grace == 60.0


def test_limits_of_an_app_merge_with_those_of_all(tmp_path: Path) -> None:
    """One limit more does not lift another."""
    settings = of(
        tmp_path,
        "defaults: {limits: {memory: 1G, tasks: 50}}\napps: {web: {limits: {memory: 2G}}}\n",
    )
    assert settings_for(settings, "web", {}).limits == {"memory": "2G", "tasks": "50"}


def test_nothing_else_of_an_app_is_ever_taken(tmp_path: Path) -> None:
    """Even if it came past the reader of its file."""
    settings = of(tmp_path, "")
    assert settings_for(settings, "web", {"on_exit": "start", "rollout": Rollout(first=0)}) == (
        AppSettings()
    )
