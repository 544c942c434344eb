"""The alerts and the dashboard that `millrace service` prints: they speak of metrics that there are."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import there
from tests.repository import REPOSITORY
from tests.servers.prometheus import promtool

DEPLOY = REPOSITORY / "orchestration" / "deploy"
NAME = re.compile(r"millrace_\w+")
HERE = Path(__file__).parent


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    program = there(promtool)
    for file in (DEPLOY / "prometheus-rules.yml", HERE / "rules_test.yml"):
        shutil.copy(file, tmp_path)
    ran = subprocess.run(
        [program, "test", "rules", "rules_test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    alerts = re.findall(r"alert: (\w+)", (DEPLOY / "prometheus-rules.yml").read_text())
    tried = set(re.findall(r"alertname: (\w+)", (HERE / "rules_test.yml").read_text()))
    assert set(alerts) == tried, "each has its test"


def test_rules_and_dashboard_name_what_the_manual_lists() -> None:
    listed = set(NAME.findall((REPOSITORY / "docs" / "metrics.md").read_text()))
    parts = {f"{name}{part}" for name in listed for part in ("_bucket", "_sum", "_count")}
    rules = (DEPLOY / "prometheus-rules.yml").read_text()
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for text in (rules, *queries) for name in NAME.findall(text)}
    assert used <= listed | parts, sorted(used - listed - parts)
