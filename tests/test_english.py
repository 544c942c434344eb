"""Words that a stranger reads twice stay out of the product's prose: code, docs, models.

The English of the project: subject and verb first, one thought a sentence; "after", not "behind".
"""

import re
import subprocess

import pytest

from tests.repository import REPOSITORY

WORDS = re.compile(
    r"\b(?:lest|likewise|anew|of ours|whatever becomes|told|tells|stirred|widest)\b"
    r"|(?<!there )(?<!There )\b(?:is|are) no (?!longer\b)",
    re.IGNORECASE,
)
PLACES = (
    "ingestion", "orchestration", "docs", "dbt_project",
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", ".env.example",
)  # fmt: skip


def strangers(text: str) -> list[str]:
    """`line: words` of each place that needs other words."""
    lines = enumerate(text.splitlines(), 1)
    return [f"{number}: {found[0]}" for number, line in lines for found in WORDS.finditer(line)]


def _files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--", *PLACES], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return [name for name in listed.stdout.split() if not name.endswith((".png", ".csv"))]


def test_no_text_of_the_product_has_words_that_are_read_twice() -> None:
    found = [
        f"{name}:{stranger}"
        for name in _files()
        if (REPOSITORY / name).exists()
        for stranger in strangers((REPOSITORY / name).read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["it is no gap", "lest it fails", "a table of ours", "who is told", "counted anew"]
)
def test_the_test_finds_them(text: str) -> None:
    assert strangers(text)


@pytest.mark.parametrize("text", ["there is no lake", "it is no longer open", "the untold", "tell it apart"])
def test_the_test_lets_plain_words_be(text: str) -> None:
    assert not strangers(text)
