"""The dbt sources that streams.yml is rendered to: of the project's own file, and of one with every option.

How they are compared and stored again: snapshot.py.
"""

from pathlib import Path

from tests.frozen.product import load_settings, load_streams, render_sources
from tests.frozen.snapshot import check


def test_sources(tmp_path: Path) -> None:
    own = load_settings(data_dir=tmp_path).streams_file
    every = Path(__file__).with_name("every_option.yml")
    texts = [f"# {path.name}\n{render_sources(load_streams(path))}" for path in (own, every)]
    check("sources.yml", "\n".join(texts))
