"""An independent reader as a process: notes when each batch is first seen in raw, in staging and in a mart.

`python -m benchmarks.watch DATA_DIR [PLACE…]` prints JSON lines until SIGTERM. It knows the lake only. A
reader that asks often is load of its own, a quarter of a core for all places: who needs one names it.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path

import duckdb

from ingestion.errors import MillraceError
from ingestion.lake.lake import Lake
from ingestion.settings import load_settings

POLL_SECONDS = 0.1
PLACES = {
    ("production_orders", "mart"): "select max(last_batch_id) from marts.order_progress",
    ("plant_telemetry", "mart"): "select max(last_batch_id) from marts.machine_status",
    ("production_orders", "staging"): "select max(batch_id) from staging.stg_production_orders",
    ("plant_telemetry", "staging"): "select max(batch_id) from staging.stg_plant_telemetry",
    ("production_orders", "raw"): "select max(batch_id) from raw.batches where stream = 'production_orders'",
    ("plant_telemetry", "raw"): "select max(batch_id) from raw.batches where stream = 'plant_telemetry'",
}


def main() -> None:
    """Poll until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    lake = Lake(load_settings(data_dir=Path(sys.argv[1])), read_only=True)
    places = sys.argv[2:]
    wanted = {key: query for key, query in PLACES.items() if not places or key[1] in places}
    at_once = "select " + ", ".join(f"({query})" for query in wanted.values())
    snapshot, seen = -1, dict.fromkeys(wanted, 0)
    while not stop.wait(POLL_SECONDS):
        try:
            newest = lake.snapshot_id()
            if newest == snapshot:
                continue
            try:
                found = lake.query(at_once)[0]
            except duckdb.CatalogException:
                continue  # not all of them are built yet
            for (stream, place), batch in zip(wanted, found, strict=True):
                if (batch or 0) > seen[stream, place]:
                    seen[stream, place] = batch
                    print(json.dumps({"stream": stream, "place": place, "batch": batch, "at": time.time()}))
            snapshot = newest
            sys.stdout.flush()
        except (MillraceError, duckdb.Error) as error:
            print(error, file=sys.stderr)
            lake.close()
    lake.close()


if __name__ == "__main__":
    main()
