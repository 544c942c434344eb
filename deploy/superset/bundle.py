"""The dashboard between its files here and Superset: Superset's export format, as YAML files in a folder.

No password is in the files, and the address is only an example: both come from the running Millrace. The
files are a bundle of the type `Dashboard`, which Superset's own import takes once zipped; `packed` makes it
one of the type `assets`, since that import replaces what was imported before.
"""

import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import yaml

FILES = Path(__file__).with_name("dashboard")
SLUG = "plant"
_MASK = "XXXXXXXXXX"  # Superset's own, in place of a password
_ADDRESS = f"postgresql+psycopg2://millrace_reader:{_MASK}@127.0.0.1:5433/serving"
_URI = re.compile(r"^sqlalchemy_uri: .*$", re.MULTILINE)


def packed(url: str, password: str, *, files: Path = FILES) -> tuple[bytes, str]:
    """What Superset's import of assets takes.

    Args:
        url: Where the marts are, as `millrace serving` prints it for SQLAlchemy.
        password: The reader's.
        files: The bundle's folder.

    Returns:
        The zip file, and the passwords of its databases as JSON.
    """
    address = urlsplit(url)
    netloc = address.netloc.replace("@", f":{_MASK}@")
    uri = urlunsplit(("postgresql+psycopg2", netloc, address.path, "", ""))
    made, passwords = io.BytesIO(), dict[str, str]()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(files.rglob("*.yaml")):
            name, text = path.relative_to(files).as_posix(), path.read_text(encoding="utf-8")
            if name == "metadata.yaml":
                text = text.replace("type: Dashboard", "type: assets")
            if name.startswith("databases/"):
                text = _URI.sub(lambda _: f"sqlalchemy_uri: {uri}", text)
                passwords[name] = password
            bundle.writestr(f"plant/{name}", text)
    return made.getvalue(), json.dumps(passwords)


def unpack(exported: bytes, *, files: Path = FILES) -> list[Path]:
    """Replace the files by an export of Superset, in one order and without what is of one machine.

    Args:
        exported: The zip file.
        files: The bundle's folder.

    Returns:
        The files.
    """
    shutil.rmtree(files, ignore_errors=True)
    written = []
    with zipfile.ZipFile(io.BytesIO(exported)) as bundle:
        for name in sorted(bundle.namelist()):
            path = files / Path(
                *re.sub(r"_\d+\.yaml$", ".yaml", name).split("/")[1:]
            )  # ids are of one machine
            content = yaml.safe_load(bundle.read(name))
            content.pop("timestamp", None)
            if "columns" in content:
                content["catalog"] = None  # the database's name, which is in the address
                content["columns"].sort(key=lambda column: column["column_name"])
            if "sqlalchemy_uri" in content:
                content["sqlalchemy_uri"] = _ADDRESS
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110), encoding="utf-8"
            )
            written.append(path)
    return written
