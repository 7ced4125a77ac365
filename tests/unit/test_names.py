"""What an app may be called, and which apps a node runs."""

import pytest

from appagent.core.names import is_hidden, managed, why_no_app


@pytest.mark.parametrize("name", ["web", "Web-2", "9", "_x", "a.b", "a+b", "u@h", "a:b", "x" * 64])
def test_a_plain_name_is_fine(name: str) -> None:
    assert why_no_app(name) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "empty"),
        (".hidden", "begins with '.'"),
        ("-rf", "begins with '-'"),
        ("@x", "begins with '@'"),
        ("a b", "has ' ' in it"),
        ("a/b", "has '/' in it"),
        ("a\nb", r"has '\n' in it"),
        ("a=b", "has '=' in it"),
        ("a%b", "has '%' in it"),
        ("äpfel", r"begins with '\xe4'"),
        ("a\udcff", r"has '\udcff' in it"),
        ("x" * 65, "has 65 characters"),
        ("web.git", "bare repository"),
    ],
)
def test_an_odd_name_is_refused_with_its_reason(name: str, said: str) -> None:
    assert said in why_no_app(name)


def test_a_reason_can_be_printed_everywhere() -> None:
    for code in (*range(0x200), 0x2028, 0xDC80, 0x1F600):
        assert why_no_app("a" + chr(code)).isascii()


def test_dot_directories_and_bare_repositories_are_hidden() -> None:
    assert is_hidden(".appagent")
    assert is_hidden("web.git")
    assert not is_hidden("web")
    assert not is_hidden("web.github")


def test_exclude_wins_over_include() -> None:
    assert managed("web", ["*"], [])
    assert managed("web-1", ["web-*", "api"], [])
    assert not managed("web", [], [])
    assert not managed("web", ["*"], ["w?b"])
    assert not managed("WEB", ["web"], [])
