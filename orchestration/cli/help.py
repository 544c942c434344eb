"""What `--help` shows beyond typer's own: plain words for types, and examples.

The examples themselves are in examples.py.
"""

from collections.abc import Iterable
from typing import Any

from orchestration.cli.examples import EXAMPLES

_WORDS = {
    "bool": "",
    "str": "TEXT",
    "int": "NUMBER",
    "int range": "NUMBER",
    "float": "NUMBER",
    "float range": "NUMBER",
    "path": "PATH",
    "datetime": "TIME",
}


def speak_plainly(command: Any, *, line: str = "") -> None:
    """Prepare a command and all below it.

    Args:
        command: As typer.main.get_command returns it.
        line: What one types to reach it, without the program's name.
    """
    of_typer = command.get_params

    def get_params(context: Any) -> list[Any]:
        parameters: Iterable[Any] = of_typer(context)
        return [_plain(parameter) for parameter in parameters]

    command.get_params = get_params
    if line in EXAMPLES:
        command.epilog = "\n".join(["[bold]Examples[/]", *EXAMPLES[line]])
    for name, below in getattr(command, "commands", {}).items():
        speak_plainly(below, line=f"{line} {name}".strip())


def _plain(parameter: Any) -> Any:
    """A parameter without `<bool>` and `{name}`."""
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        shown = (name if parameter.required else f"[{name}]") + ("..." if parameter.nargs != 1 else "")
        parameter.metavar = name
        parameter.display_type_rich = lambda ctx: ""
        parameter.get_usage_pieces = lambda ctx: [shown]
    elif parameter.metavar is None:
        kind = parameter.display_type(None).strip("<>")
        parameter.display_type_rich = lambda ctx: _WORDS.get(kind, kind)
    return parameter
