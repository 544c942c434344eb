"""Environment and .env → one frozen, typed Settings object. Nothing else reads the environment.

How a broker is reached is declared in its own room (connectors/<kind>/access.py) and read through
Settings.access. What is a property of a stream belongs into streams.yml. .env.example lists every variable.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.data_folder import demo_hint, demo_project, is_demo, system_is_running
from ingestion.environment import prepare
from ingestion.errors import ConfigError
from ingestion.project import (
    DBT_FOLDER,
    PACKAGES,
    PRODUCT_DIR,
    PROJECT_VARIABLE,
    SCHEMAS_FOLDER,
    STREAMS_FILE,
    NoProject,
    find_project,
)

prepare()

RUNTIME_FILE = "runtime.env"
REGISTERED_FOLDER = "schemas"
"""Of the data folder: what a schema registry answered."""

_PREFIX = "MILLRACE_"
_HASH = "scrypt:"
_PASSWORD_LENGTH = 12  # nothing slows down who guesses
_Model = TypeVar("_Model", bound=BaseModel)


def _from_project(path: Path, info: ValidationInfo) -> Path:
    project: Path = (info.context or info.data).get("project", Path())
    return (project / path.expanduser()).resolve()


ProjectPath = Annotated[Path, AfterValidator(_from_project)]
"""A path of a setting: a relative one is taken from the project's root, wherever a command is started."""


class Settings(BaseSettings):
    """Where things are and how to reach them."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", validate_default=True)

    project: Path = Field(default=Path(), description="the project's folder, found by load_settings")
    data_dir: ProjectPath = Path(".millrace")
    streams_file: ProjectPath = Path(STREAMS_FILE)
    catalog: SecretStr | None = Field(default=None, description="postgresql:// URL; empty: embedded")
    lake_path: str | None = Field(default=None, description="folder; empty: data_dir/lake")
    dagster_catalog: SecretStr | None = Field(
        default=None, description="postgresql:// URL of Dagster's storage; empty: beside the catalog"
    )

    serving: SecretStr | None = Field(
        default=None, description="postgresql:// URL of the database for BI tools; off; empty: embedded"
    )
    serving_port: int | None = Field(
        default=None, ge=1, le=65535, description="where the embedded one listens; empty: on its socket only"
    )
    serving_host: str = "127.0.0.1"

    batch_max_events: int = Field(default=200_000, ge=1, description="per stream and batch")
    batch_max_bytes: int = Field(default=256 * 2**20, ge=2**20, description="payload bytes per batch")
    batch_max_seconds: float = Field(default=20.0, gt=0, description="reading time per batch")
    payload_max_bytes: int = Field(default=16 * 2**20, ge=1, description="larger ones are rejected")
    source_timeout_seconds: float = Field(default=20.0, gt=0)
    run_stall_seconds: float = Field(
        default=600.0, ge=0, description="a run that does not get on for so long is ended; 0: never"
    )
    restart_stuck: bool = Field(
        default=True, description="processes that live and do no work are ended and started again"
    )
    disk_reserve_bytes: int = Field(default=2 * 2**30, ge=0, description="less free space is a condition")

    ui_host: str = "127.0.0.1"
    ui_port: int = Field(default=3000, ge=0, le=65535)
    page_port: int | None = Field(
        default=None, ge=0, le=65535, description="of the live page; empty: the one after the web UI's"
    )
    page_viewer_password: SecretStr | None = Field(default=None, description="its hash: 'millrace password'")
    page_operator_password: SecretStr | None = Field(default=None, description="its hash, too")
    ui_allowed_hosts: str = Field(default="", description="further names, with commas")
    ui_password: SecretStr | None = None
    ui_tls_cert_file: ProjectPath | None = None
    ui_tls_key_file: ProjectPath | None = None
    ui_tls_elsewhere: bool = Field(default=False, description="a proxy or the machine's own network has it")
    ui_preview_rows: int = Field(default=0, ge=0, le=100, description="of each table, on its page")
    alert_webhook_url: SecretStr | None = None

    report_schedule: str = Field(default="", description="cron, UTC; empty: no report by itself")

    metrics_port: int | None = Field(default=None, ge=1, le=65535, description="empty: no exporter")
    metrics_host: str = "127.0.0.1"
    metrics_token: SecretStr | None = Field(default=None, description="needed where others reach it")

    _variables: Mapping[str, SecretStr] = PrivateAttr(default_factory=dict)
    """Name without the prefix, lower case → value, of every variable that is not one of the fields above."""
    _env_file: Path | None = PrivateAttr(default=None)

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object, info: ValidationInfo) -> object:
        return cls.model_fields[str(info.field_name)].get_default() if value == "" else value

    @field_validator("ui_password", "metrics_token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value) < _PASSWORD_LENGTH:
            raise ValueError(f"a password needs {_PASSWORD_LENGTH} characters or more")
        return value

    @field_validator("page_viewer_password", "page_operator_password")
    @classmethod
    def _is_a_hash(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(_HASH):
            raise ValueError("this is not the hash of a password: 'millrace password' makes one")
        return value

    def access(self, kind: str, model: type[_Model]) -> _Model:
        """How one kind of broker is reached: the variables MILLRACE_<KIND>_<FIELD>.

        Args:
            kind: The kind, as streams.yml names it.
            model: What its room declares.

        Raises:
            ConfigError: With the variable's name, never its value.
        """
        names = {f"{kind}_{field}": field for field in model.model_fields}
        values = {
            names[name]: value.get_secret_value()
            for name, value in self._variables.items()
            if name in names and value.get_secret_value()
        }
        try:
            return model.model_validate(values, context={"project": self.project})
        except ValidationError as error:
            raise _wrong(error, prefix=f"{kind}_") from None

    def secret(self, name: str) -> SecretStr | None:
        """The value of a variable that a file of the project names, read now; None where it has none.

        Args:
            name: The whole name. The environment wins over .env, and .env over what a demo has started.
        """
        found = os.environ.get(name)
        if found is None and self._env_file is not None and self._env_file.is_file():
            found = dotenv_values(self._env_file).get(name)
        if not found and is_demo(self.data_dir):
            return self._variables.get(name.upper().removeprefix(_PREFIX).lower())
        return SecretStr(found) if found else None

    def replaced(self, **overrides: object) -> "Settings":
        """The same with other values, of fields or of brokers' variables; None unsets a variable."""
        fields = {name: value for name, value in overrides.items() if name in Settings.model_fields}
        variables = {name: value for name, value in overrides.items() if name not in fields}
        return _with_variables(self.model_copy(update=fields), {**self._variables, **variables})

    @property
    def dbt_folder(self) -> Path:
        """The project's models, seeds, tests and contracts."""
        return self.project / DBT_FOLDER

    @property
    def watched_code(self) -> tuple[Path, ...]:
        """Folders that running processes load again when they change: our packages, dbt project, schemas.

        Those of a registry are in the data folder: newer ones may bring a stream other fields.
        """
        registered = self.data_dir / REGISTERED_FOLDER / "subjects"
        own = (PRODUCT_DIR / name for name in PACKAGES)
        return (*own, self.dbt_folder, self.project / SCHEMAS_FOLDER, registered)

    @property
    def resolved_lake_path(self) -> str:
        """The lake's data path: a folder as an absolute path with a slash, an address as given."""
        if self.lake_path and "://" in self.lake_path:
            return self.lake_path.rstrip("/") + "/"
        folder = (self.project / self.lake_path).resolve() if self.lake_path else self.data_dir / "lake"
        return f"{folder}/"


class _Location(BaseSettings):
    """Just the data folder, which has to be known first: its runtime.env holds the rest."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", validate_default=True)

    project: Path
    data_dir: ProjectPath = Path(".millrace")


def load_settings(**overrides: object) -> Settings:
    """Read the settings once, at the edge of a process.

    Arguments win over the environment, the environment over .env, and .env over <data_dir>/runtime.env, where
    a running system writes the addresses of what it has started. On a demo's folder only the services that
    the demo has started count. MILLRACE_ENV_FILE names another file than .env.

    Args:
        **overrides: Values of fields, or of brokers' variables without their prefix.

    Raises:
        NoProject: The current folder belongs to no project, and MILLRACE_PROJECT names none.
        ConfigError: With the variable's name, never its value.
    """
    place = Path(str(overrides.get("project") or current_project(required=False)))
    env_file = Path(place, os.environ.get("MILLRACE_ENV_FILE", ".env"))
    try:
        location = _Location(_env_file=env_file, project=place, **_only(overrides, "data_dir"))  # type: ignore[arg-type, call-arg]
        data_dir, files = location.data_dir, [env_file]
        if "project" not in overrides:
            overrides["project"] = demo_project(data_dir) or _project_of(data_dir)
        overrides["data_dir"] = data_dir
        if is_demo(data_dir):
            overrides = _services_of_demo(data_dir) | overrides
        elif system_is_running(data_dir):
            files.insert(0, data_dir / RUNTIME_FILE)
        fields = _only(overrides, *Settings.model_fields)
        settings = Settings(_env_file=tuple(files), **fields)  # type: ignore[arg-type, call-arg]
    except ValidationError as error:
        raise _wrong(error, prefix="") from None
    settings._env_file = env_file
    variables = {} if is_demo(data_dir) else _read_variables(_sources(files))
    return _with_variables(settings, variables | overrides)


def _project_of(data_dir: Path) -> Path:
    try:
        return current_project()
    except NoProject as error:
        raise NoProject(f"{error}{demo_hint(data_dir)}") from None


def _services_of_demo(data_dir: Path) -> dict[str, object]:
    """What its demo has started, whatever the environment and .env name; nothing once it has ended."""
    none = dict.fromkeys(("catalog", "dagster_catalog", "lake_path", "serving"))
    running = system_is_running(data_dir)
    return none | (_read_variables([dotenv_values(data_dir / RUNTIME_FILE)]) if running else {})


def current_project(*, required: bool = True) -> Path:
    """The project's folder: MILLRACE_PROJECT, or the nearest from the current folder upwards.

    Args:
        required: Whether there must be one; else the current folder takes its place.

    Raises:
        NoProject: There is none, and one is required.
        ConfigError: MILLRACE_PROJECT names a folder that is not a project.
    """
    try:
        return find_project(Path.cwd(), named=os.environ.get(PROJECT_VARIABLE, ""))
    except NoProject:
        if required:
            raise
        return Path.cwd()


def _sources(files: Iterable[Path]) -> list[Mapping[str, str | None]]:
    """The variables of files and of the environment, later ones winning over earlier ones."""
    return [*(dotenv_values(path) for path in files if path.is_file()), os.environ]


def _read_variables(sources: Iterable[Mapping[str, str | None]]) -> dict[str, object]:
    """Our variables, without their prefix."""
    return {
        name.upper().removeprefix(_PREFIX).lower(): value
        for source in sources
        for name, value in source.items()
        if name.upper().startswith(_PREFIX) and value is not None
    }


def _with_variables(settings: Settings, values: Mapping[str, object]) -> Settings:
    """A copy that keeps these values, without those of fields."""
    copy = settings.model_copy()
    copy._variables = {
        name: value if isinstance(value, SecretStr) else SecretStr(str(value))
        for name, value in values.items()
        if name not in Settings.model_fields and value is not None
    }
    return copy


def _wrong(error: ValidationError, *, prefix: str) -> ConfigError:
    first = error.errors(include_input=False, include_url=False)[0]
    name = "".join(f"{_PREFIX}{prefix}{part}".upper() for part in first["loc"][:1])
    where = f"{name} in the environment or .env" if name else "the environment or .env"
    message = str(first["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{where} is wrong: {message}; .env.example shows every variable")


def _only(values: Mapping[str, object], *names: str) -> dict[str, object]:
    return {name: values[name] for name in names if name in values}
