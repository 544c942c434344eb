"""Spark's reader of XML on the same documents as W7's, one a line of a file: into Parquet, as JSON text.

Run by W7 (`--spark`) with the interpreter of an environment that has pyspark. No broker is between: that is
in Spark's favour, and so is that nothing is proven.
"""

import json
import os
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.functions import from_xml, to_json

_SCHEMA = (
    "reading_id string, machine_id string, measured_at string, temperature_celsius string, count string, "
    "is_ok string, note string"
)


def main() -> None:
    options, started = json.loads(sys.argv[1]), time.monotonic()
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.log.level", "ERROR")
        .getOrCreate()
    )
    documents = spark.read.text(options["documents"])
    parsed = documents.select("value", to_json(from_xml(documents.value, _SCHEMA)).alias("payload"))
    parsed.write.mode("overwrite").parquet(options["out"])
    seconds, cpu = (
        time.monotonic() - started,
        time.process_time() + _cpu(spark.sparkContext._gateway.proc.pid),
    )
    written = spark.read.parquet(options["out"])
    right = written.where("payload like '%reading_id%'").count()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "rows": right}))


def _cpu(process: int) -> float:
    """Seconds of CPU of the JVM: nobody waits for it, so the system does not count it to its parent."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


main()
