"""The files of Superset's dashboard: no secret, no machine, the columns that the plant's models declare."""

import io
import json
import re
import zipfile
from pathlib import Path

import yaml

from deploy.superset.bundle import FILES, packed, unpack
from deploy.superset.environment import LOCK
from tests.repository import REPOSITORY

MODELS = REPOSITORY / "dbt_project" / "models" / "marts"
ADDRESS = "postgresql://millrace_reader@127.0.0.1:25433/serving?passfile=/data/reader.pgpass"


def test_they_hold_no_secret_and_are_plain_text() -> None:
    files = [path for path in FILES.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".yaml"}
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    assert set(re.findall(r"sqlalchemy_uri: (\S+)", text)) == {
        "postgresql+psycopg2://millrace_reader:XXXXXXXXXX@127.0.0.1:5433/serving"
    }
    assert "password" not in text.lower()
    assert yaml.safe_load((FILES / "metadata.yaml").read_text())["type"] == "Dashboard"


def test_datasets_have_the_columns_that_models_declare() -> None:
    seen = set()
    for path in (FILES / "datasets").rglob("*.yaml"):
        dataset = yaml.safe_load(path.read_text())
        name = dataset["table_name"]
        seen.add(name)
        if name == "_served":
            continue
        (model,) = yaml.safe_load((MODELS / f"{name}.yml").read_text())["models"]
        declared = {column["name"]: column["description"] for column in model["columns"]}
        shown = {column["column_name"]: column["description"] for column in dataset["columns"]}
        assert shown == declared, f"{name}: make superset ARGS=--export, after its dataset was synced"
    assert seen >= {path.stem for path in MODELS.glob("*.yml")}


def test_the_address_and_the_password_come_from_what_runs(tmp_path: Path) -> None:
    bundle, passwords = packed(ADDRESS, "s3cret")
    with zipfile.ZipFile(io.BytesIO(bundle)) as found:
        texts = {name: found.read(name).decode() for name in found.namelist()}
    (database,) = [name for name in texts if "/databases/" in name]
    assert json.loads(passwords) == {database.removeprefix("plant/"): "s3cret"}
    assert "s3cret" not in "".join(texts.values())
    uri = "postgresql+psycopg2://millrace_reader:XXXXXXXXXX@127.0.0.1:25433/serving"
    assert yaml.safe_load(texts[database])["sqlalchemy_uri"] == uri
    assert yaml.safe_load(texts["plant/metadata.yaml"])["type"] == "assets"
    written = unpack(bundle, files=tmp_path / "files")
    assert {path.relative_to(tmp_path / "files") for path in written} == {
        path.relative_to(FILES) for path in FILES.rglob("*.yaml")
    }
    for path in written:
        before = yaml.safe_load((FILES / path.relative_to(tmp_path / "files")).read_text())
        if path.name != "metadata.yaml":
            assert yaml.safe_load(path.read_text()) == before


def test_each_pin_is_in_the_lock() -> None:
    lines = LOCK.with_name("requirements.txt").read_text().splitlines()
    pins = [line.partition(" ")[0] for line in lines if "==" in line and not line.startswith("#")]
    assert len(pins) > 10
    locked = {line.partition(" ")[0] for line in LOCK.read_text().splitlines()}
    assert set(pins) <= locked, "make superset-lock"
