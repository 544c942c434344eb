"""Spark Structured Streaming into Parquet, trigger availableNow. The Kafka jars are Maven's."""

import json
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> None:
    options, started = json.loads(sys.argv[1]), time.monotonic()
    builder = (
        SparkSession.builder.master("local[*]")
        .config("spark.jars", ",".join(str(jar) for jar in Path(options["jars"]).glob("*.jar")))
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.log.level", "ERROR")
    )
    if options["tuned"]:
        builder = builder.config("spark.sql.shuffle.partitions", "2").config("spark.driver.memory", "2g")
    spark = builder.getOrCreate()
    reader = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", options["servers"])
        .option("subscribe", options["topic"])
        .option("startingOffsets", "earliest")
    )
    if not options["tuned"]:
        reader = reader.option("maxOffsetsPerTrigger", 50_000)
    events = reader.load().selectExpr("partition", "offset", "cast(value as string) as payload")
    query = (
        events.writeStream.format("parquet")
        .option("path", options["out"] + "/events")
        .option("checkpointLocation", options["out"] + "/checkpoint")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": seconds, "rows": spark.read.parquet(options["out"] + "/events").count()}))


main()
