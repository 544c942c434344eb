"""What a user would write instead: a loop of each source's own client that inserts into a DuckDB file.

Each returns once so many events are committed. None has a ledger, rejects, a lock, or a reader beside it.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

BATCH = 1_000
"""Events a commit, as tutorials have it; RabbitMQ's and Mosquitto's credit is twice that."""
Options = dict[str, Any]


@contextmanager
def lake(options: Options) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB file with one table."""
    with duckdb.connect(f"{options['data_dir']}/by_hand.duckdb") as connection:
        connection.execute("create table events (place varchar, position varchar, payload varchar)")
        yield connection


def insert(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[str, str, bytes]]) -> None:
    """Insert and commit."""
    places, positions, payloads = zip(*rows, strict=True)
    incoming = pa.table([places, positions, [each.decode() for each in payloads]], ["a", "b", "c"])
    connection.execute("insert into events select * from incoming")
    del incoming


def rabbitmq(options: Options, *, is_stream: bool) -> None:
    """pika: take a batch, insert it, acknowledge it; of a stream with the offset beside each event."""
    import pika

    there = pika.ConnectionParameters(
        options["settings"]["rabbitmq_host"], options["settings"]["rabbitmq_port"]
    )
    with lake(options) as connection, pika.BlockingConnection(there) as broker:
        channel = broker.channel()
        channel.basic_qos(prefetch_count=2 * BATCH)
        arguments = {"x-stream-offset": "first"} if is_stream else None
        rows, done, tag = list[tuple[str, str, bytes]](), 0, 0
        for method, properties, body in channel.consume(
            options["name"], arguments=arguments, inactivity_timeout=0.2
        ):
            if method is not None:
                offset = str((properties.headers or {}).get("x-stream-offset", ""))
                rows.append((options["name"], offset, body))
                tag = method.delivery_tag
            if rows and (method is None or len(rows) >= BATCH):
                insert(connection, rows)
                channel.basic_ack(tag, multiple=True)
                done, rows = done + len(rows), []
            if done >= options["events"]:
                return


def mqtt(options: Options) -> None:
    """paho with acknowledgements by hand: what has come is inserted, then acknowledged."""
    from paho.mqtt.client import Client, MQTTMessage
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, "by-hand", clean_session=False, manual_ack=True)
    came: list[MQTTMessage] = []
    client.on_message = lambda *event: came.append(event[2])
    client.connect(options["settings"]["mqtt_host"], options["settings"]["mqtt_port"])
    client.subscribe(f"{options['name']}/#", qos=1)
    done = 0
    with lake(options) as connection:
        while done < options["events"]:
            client.loop(0.2)
            if len(came) >= BATCH or (came and done + len(came) >= options["events"]):
                insert(connection, [(each.topic, "", each.payload) for each in came])
                for each in came:
                    client.ack(each.mid, each.qos)
                done, came[:] = done + len(came), []
    client.loop_write()
    client.disconnect()


def kinesis(options: Options) -> None:
    """boto3: each shard in turn, the sequence number beside each event."""
    import boto3

    client = boto3.client(
        "kinesis", endpoint_url=options["settings"]["kinesis_endpoint_url"],
        region_name=options["settings"]["kinesis_region"],
    )  # fmt: skip
    shards = [each["ShardId"] for each in client.list_shards(StreamName=options["name"])["Shards"]]
    iterators = {
        shard: client.get_shard_iterator(
            StreamName=options["name"], ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        for shard in shards
    }
    done = 0
    with lake(options) as connection:
        while done < options["events"]:
            for shard in shards:
                answer = client.get_records(ShardIterator=iterators[shard], Limit=10_000)
                iterators[shard] = answer["NextShardIterator"]
                if rows := [(shard, each["SequenceNumber"], each["Data"]) for each in answer["Records"]]:
                    insert(connection, rows)
                    done += len(rows)
            time.sleep(0.25)  # five requests a second and shard are allowed


def http(options: Options) -> None:
    """starlette on uvicorn: each request is inserted and committed before its 202."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    with lake(options) as connection:
        done = 0

        async def receive(request: Request) -> Response:
            nonlocal done
            lines = (await request.body()).splitlines()
            for line in lines:
                json.loads(line)
            insert(connection, [("events", "", line) for line in lines])
            done += len(lines)
            server.should_exit = done >= options["events"]
            return Response(status_code=202)

        app = Starlette(routes=[Route("/v1/events", receive, methods=["POST"])])
        port = options["settings"]["http_port"]
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", access_log=False))
        server.run()


CLIENTS = ("boto3", "paho.mqtt.client", "pika", "starlette.applications", "uvicorn")
"""What the loops import."""
LOOPS: dict[str, Callable[[Options], None]] = {
    "rabbitmq-stream": lambda options: rabbitmq(options, is_stream=True),
    "rabbitmq-queue": lambda options: rabbitmq(options, is_stream=False),
    "mqtt": mqtt,
    "kinesis": kinesis,
    "http": http,
}
