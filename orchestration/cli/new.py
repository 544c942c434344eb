"""`millrace new`: a project's folder. What is written is in orchestration/scaffold."""

from pathlib import Path

from orchestration.cli.context import out
from orchestration.scaffold.new import create_project


def new(folder: Path, *, example: str) -> None:
    """Write a project and say what comes next.

    Args:
        folder: As it was typed.
        example: Which example it begins with.

    Raises:
        ConfigError: The folder is not empty.
    """
    create_project((Path.cwd() / folder.expanduser()).resolve(), example=example)
    streams = "'millrace add' declares streams" if example == "none" else "its streams are in streams.yml"
    out.print(f"{folder} is a project now: {streams}, set the brokers in .env", markup=False)
    then = "millrace add orders --from kafka:orders" if example == "none" else "millrace doctor"
    out.print(f"next: cd {folder}; {then}; millrace up", markup=False)
