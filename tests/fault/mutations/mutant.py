"""A bug to plant: one place of the product, and the tests that have to notice."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        name: Unique, in few words.
        file: Path of a product's file below the repository.
        old: Text that is there exactly once.
        new: What stands there instead.
        breaks: The promise that is broken then, in a sentence.
        tests: Node ids of tests (or files of tests) of which one has to fail; the quickest first.
        line: Where it is, when a tool found it: of its tests those run that come there. 0: all.
    """

    name: str
    file: str
    old: str
    new: str
    breaks: str
    tests: tuple[str, ...]
    line: int = 0

    def planted_in(self, repository: Path) -> str:
        """The file's text with the bug in it.

        Raises:
            ValueError: The place is not there, or is there more than once.
        """
        text = (repository / self.file).read_text(encoding="utf-8")
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"mutant '{self.name}': its text is in {self.file} {found} times, not once")
        return text.replace(self.old, self.new)

    def key(self, repository: Path) -> str:
        """Names this trial: another one when the file, the bug or its tests have changed."""
        files = sorted({test.partition("::")[0] for test in self.tests})
        parts = [self.file, self.planted_in(repository), *self.tests]
        parts += [(repository / file).read_text(encoding="utf-8") for file in files]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
