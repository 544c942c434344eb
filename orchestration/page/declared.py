"""page.yml: the tiles that a project puts on the page Marts. Without the file, each mart has one."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ingestion.errors import ConfigError
from ingestion.project import PAGE_FILE

_MOST_TILES = 40

Chart = Literal["table", "number", "line", "bar"]


class Tile(BaseModel):
    """A tile.

    Attributes:
        title: Its heading.
        mart: A mart, all of whose columns are shown.
        sql: A SELECT in its place; names without a schema are looked for in marts first.
        chart: How rows are shown. number: the first value. line, bar: the first column along, columns of
            numbers up; a column of text keeps lines or bars apart.
        limit: Rows at most.
        wide: Whether it takes the whole width.
        unit: Stands after numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Field(min_length=1, max_length=120)]
    mart: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    sql: str | None = None
    chart: Chart = "table"
    limit: Annotated[int, Field(ge=1, le=2000)] = 200
    wide: bool = False
    unit: Annotated[str, Field(max_length=20)] = ""

    @model_validator(mode="after")
    def _one_origin(self) -> "Tile":
        if (self.mart is None) == (self.sql is None):
            raise ValueError("give either 'mart' or 'sql'")
        return self

    @property
    def question(self) -> str:
        """The SELECT that gives its rows."""
        origin = (
            f'from "{self.mart}"' if self.mart is not None else f"({(self.sql or '').strip().rstrip(';')})"
        )
        return f"select * {origin} limit {self.limit}" if self.mart else f"from {origin} limit {self.limit}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tiles: Annotated[list[Tile], Field(max_length=_MOST_TILES)] = []


def read_tiles(project: Path) -> tuple[Tile, ...] | None:
    """The declared tiles; None where the project has no page.yml.

    Args:
        project: The project's folder.

    Raises:
        ConfigError: Names the file, the place and what is wrong there.
    """
    path = project / PAGE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PAGE_FILE} cannot be read: {error}") from None
    try:
        return tuple(_File.model_validate(yaml.safe_load(text) or {}).tiles)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{PAGE_FILE} line {line} is not YAML: {error.problem}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part + 1) if isinstance(part, int) else str(part) for part in problem["loc"])
        message = str(problem["msg"]).removeprefix("Value error, ")
        raise ConfigError(f"{PAGE_FILE} at {place or 'its top'}: {message}") from None
