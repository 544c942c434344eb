"""reactions.yml → who hears of which conditions. It holds no secret: only names of environment variables."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from ingestion.data_folder import is_demo
from ingestion.declare.lines import line_of, refuse_duplicate_keys
from ingestion.declare.sources import read_source
from ingestion.declare.stream import suggest
from ingestion.errors import ConfigError
from ingestion.project import REACTIONS_FILE
from ingestion.settings import Settings
from orchestration.conditions import webhook
from orchestration.conditions.condition import Finding
from orchestration.conditions.kinds import KINDS
from orchestration.reactions.templates import JSON_TYPE, TemplateMistake, try_template
from orchestration.reactions.terms import NAME, Batch, Escalation, Limit, Quiet, Terms

OWN = "webhook"
"""The reaction that the setting MILLRACE_ALERT_WEBHOOK_URL is."""
_MOST = 40
_SEND_SECONDS = 30.0

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
"""The name of an environment variable, never what it holds."""


class On(Terms):
    """Which conditions.

    Attributes:
        kinds: Their kinds, as in docs/operations.md; * stands for any characters. An empty list: only what
            others escalate to it.
        subjects: What they are about: streams, models, services; * stands for any characters.
    """

    kinds: tuple[str, ...] = ("*",)
    subjects: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)

    @field_validator("kinds")
    @classmethod
    def _each_is_there(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            if not any(fnmatchcase(kind, pattern) for kind in KINDS):
                raise ValueError(f"there is no kind '{pattern}'{suggest(pattern, list(KINDS))}")
        return patterns

    def takes(self, finding: Finding) -> bool:
        """Whether a condition is among them."""
        return any(fnmatchcase(finding.name, each) for each in self.kinds) and any(
            fnmatchcase(finding.subject, each) for each in self.subjects
        )


class Webhook(Terms):
    """An address to which JSON is posted.

    Attributes:
        url_env: The environment variable that holds the address.
        secret_env: The one that holds the secret of signatures: whsec_ and 24 to 64 random bytes in base64.
        body: A Jinja template of what is posted, where the receiver wants something of its own.
        content_type: Of the body.
    """

    url_env: Variable
    secret_env: Variable | None = None
    body: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    content_type: Annotated[str, Field(pattern=r"^[a-z]+/[A-Za-z0-9.+-]+(; ?charset=utf-8)?$")] = JSON_TYPE


class Publish(Terms):
    """A place at a broker that the project's settings reach.

    Attributes:
        to: kind:place, as in kafka:alerts or mqtt:plant/alerts.
    """

    to: Annotated[str, Field(min_length=3, max_length=500)]

    @field_validator("to")
    @classmethod
    def _is_a_place(cls, place: str) -> str:
        try:
            read_source(place)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return place


class Apprise(Terms):
    """People, by one of apprise's services: mail, Slack, Teams, Telegram, ntfy and a hundred more.

    Attributes:
        url_env: The environment variable that holds the service's address, which holds its secrets.
    """

    url_env: Variable


class Job(Terms):
    """A job of the project's Dagster code, run once for each alert.

    Attributes:
        name: Of the job.
        ops: Ops whose config gets the alert, as `alert`: each reads JSON.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]
    ops: tuple[str, ...] = ()


class Send(Terms):
    """Where to: one of these.

    Attributes:
        webhook: An address to which JSON is posted.
        publish: A broker to which JSON is sent.
        apprise: People, by mail or chat.
        job: A job that Dagster runs.
    """

    webhook: Webhook | None = None
    publish: Publish | None = None
    apprise: Apprise | None = None
    job: Job | None = None

    @model_validator(mode="after")
    def _one(self) -> "Send":
        ways = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self


class Reaction(Terms):
    """Somebody who hears of conditions.

    Attributes:
        name: In the ledger, in metrics, and in the keys of alerts.
        on: Of which conditions; without it, of all.
        send: Where alerts go.
        all_well: Whether it hears of ends, too.
        timeout_seconds: How long a try may take; 5 for a webhook and 30 for others by default.
        limit: How often it hears that the same thing broke.
        quiet: Hours of every day in which alerts wait.
        batch: Several alerts in one message.
        escalate: Who hears of what nobody acknowledges.
    """

    name: Annotated[str, Field(pattern=NAME)]
    on: On = On()
    send: Send
    all_well: bool = True
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] | None = None
    limit: Limit | None = None
    quiet: Quiet | None = None
    batch: Batch | None = None
    escalate: Escalation | None = None

    @model_validator(mode="after")
    def _has_one_run_for_each(self) -> "Reaction":
        if self.send.job is not None and self.batch is not None:
            raise ValueError("a job runs once for each alert: leave 'batch' out")
        return self

    @model_validator(mode="after")
    def _has_a_body_that_renders(self) -> "Reaction":
        way = self.send.webhook
        if way is not None and way.body is not None:
            try:
                try_template(way.body, content_type=way.content_type, combines=self.combines)
            except TemplateMistake as mistake:
                raise ValueError(str(mistake)) from None
        return self

    @property
    def try_seconds(self) -> float:
        """How long a try may take."""
        if self.timeout_seconds is not None:
            return self.timeout_seconds
        return webhook.POST_SECONDS if self.send.webhook is not None else _SEND_SECONDS

    @property
    def combines(self) -> bool:
        """Whether several alerts may go in one message: some may wait."""
        terms = (self.limit, self.quiet, self.batch)
        return self.send.job is None and any(each is not None for each in terms)

    @property
    def gives_up(self) -> bool:
        """Whether an alert is set aside after so many tries or days; the setting's never are."""
        return self.name != OWN

    def takes(self, finding: Finding) -> bool:
        """Whether it hears of a condition; of its own trouble it does not."""
        return self.on.takes(finding) and (finding.name, finding.subject) != ("alert_undelivered", self.name)


def own_reaction() -> Reaction:
    """What the setting MILLRACE_ALERT_WEBHOOK_URL is: all alerts to one address, and none is given up."""
    way = Send(webhook=Webhook(url_env="MILLRACE_ALERT_WEBHOOK_URL"))
    return Reaction(name=OWN, send=way)


def reactions_file(settings: Settings) -> Path:
    """Where a system's reactions are declared: in its project; a demo has its own, in its data folder.

    Args:
        settings: Of the system.
    """
    # A demo pages nobody whom a project names.
    folder = settings.data_dir if is_demo(settings.data_dir) else settings.project
    return folder / REACTIONS_FILE


def load_reactions(path: Path) -> tuple[Reaction, ...]:
    """Read and validate a reactions.yml.

    Args:
        path: The file.

    Returns:
        Nothing where the file is missing.

    Raises:
        ConfigError: Names file, line, what is wrong and, for a misspelt key, the likely one.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}); repair its permissions, or save it as UTF-8"
        ) from None
    return read_reactions(text, path)


def read_reactions(text: str, path: Path = Path(REACTIONS_FILE)) -> tuple[Reaction, ...]:
    """The reactions that a text declares.

    Args:
        text: YAML.
        path: Named in errors.

    Raises:
        ConfigError: As load_reactions says.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
        declared = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or "a character that YAML does not allow"
        raise ConfigError(f"{path.name} line {line} is not YAML: {problem}") from None
    if root is None:
        return ()
    if not isinstance(root, yaml.MappingNode) or not isinstance(declared, dict):
        raise ConfigError(f"{path.name} line 1: a mapping of names is expected, as in 'pager:'")
    refuse_duplicate_keys(path, root)
    if len(declared) > _MOST:
        raise ConfigError(f"{path.name} declares {len(declared)} reactions and may declare {_MOST}")
    found = []
    for name, body in declared.items():
        line = line_of(root, (str(name),))
        if name == OWN:
            raise ConfigError(
                f"{path.name} line {line}: '{OWN}' is the name of what MILLRACE_ALERT_WEBHOOK_URL sets; "
                "take another name"
            )
        if not isinstance(body, dict) or "name" in body:
            raise ConfigError(f"{path.name} line {line}, reaction '{name}': it needs 'send', and no 'name'")
        try:
            found.append(Reaction.model_validate(body | {"name": str(name)}))
        except ValidationError as error:
            raise _wrong(path, root, str(name), error) from None
    _check_escalations(path, root, found)
    return tuple(found)


def _check_escalations(path: Path, root: yaml.Node, reactions: Sequence[Reaction]) -> None:
    """Each escalates to another one that is there, and each hears of something."""
    names = [each.name for each in reactions]
    targets = {each.escalate.to for each in reactions if each.escalate is not None}
    for each in reactions:
        to = each.escalate.to if each.escalate is not None else ""
        place, wrong = (each.name, "escalate"), ""
        if to == each.name:
            wrong = "it escalates to itself: name another reaction"
        elif to and to not in names:
            wrong = f"it escalates to '{to}', which is not declared{suggest(to, names)}"
        elif not each.on.kinds and each.name not in targets:
            place = (each.name, "on")
            wrong = (
                "it hears of no kind, and no other reaction escalates to it: name kinds, or leave 'on' out"
            )
        if wrong:
            raise ConfigError(f"{path.name} line {line_of(root, place)}, reaction '{each.name}': {wrong}")


def _wrong(path: Path, root: yaml.Node, name: str, error: ValidationError) -> ConfigError:
    """The likeliest problem (a misspelt key before what it leaves missing) with its line, never its value."""
    problems = error.errors(include_url=False, include_input=False)
    problem = next((each for each in problems if each["type"] == "extra_forbidden"), problems[0])
    location = problem["loc"]
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        message = f"unknown key '{location[-1]}'{suggest(str(location[-1]), _keys(location))}"
    elif location == ("name",):
        message = "its name needs small letters, digits, - and _, a letter first, 40 at most"
    elif problem["type"] != "value_error":
        message = f"{'.'.join(map(str, location))}: {message[0].lower()}{message[1:]}"
    return ConfigError(f"{path.name} line {line_of(root, (name, *location))}, reaction '{name}': {message}")


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand where an unknown one does."""
    model: type[BaseModel] = Reaction
    for part in location[:-1]:
        annotation = model.model_fields[str(part)].annotation
        kinds = [annotation, *getattr(annotation, "__args__", ())]
        model = next(each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel))
    return sorted(model.model_fields.keys() - {"name"})


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: in 1.1 the key `on` is one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
