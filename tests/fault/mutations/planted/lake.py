"""Batch → lake: one transaction, one writer a stream, and no commit of a dead one comes later."""

from tests.fault.mutations.mutant import Mutant

_CATALOG, _LOADER = "ingestion/lake/catalog.py", "ingestion/lake/loader.py"
_BATCH = "tests/ingestion/test_batch.py"
_FENCING = "tests/ingestion/test_fencing.py"
_BEGINS = "tests/fault/test_storage.py::test_a_catalog_killed_before_a_batch_reads_anything_fails_it_with_a_sentence"
_HEALS = f"{_BATCH}::test_a_failure_at_any_point_leaves_all_or_nothing_and_the_next_batch_heals"

MUTANTS = (
    Mutant(
        "nobody waits for the writer lock",
        _CATALOG,
        '        cursor.execute("select pg_advisory_lock(%s, hashtext(%s))", (_LOCK_SPACE, stream))\n',
        '        cursor.execute("select %s, hashtext(%s)", (_LOCK_SPACE, stream))\n',
        "one writer a stream",
        (f"{_BATCH}::test_a_second_writer_is_told_who_is_writing",),
    ),
    Mutant(
        "a dead writer's session is left alone",
        _CATALOG,
        "            _fence(cursor, stream, application_name)\n",
        "",
        "no load can appear that the next writer does not know of",
        (f"{_FENCING}::test_a_commit_that_comes_after_the_next_writer_began_is_refused",),
    ),
    Mutant(
        "a connection keeps its name after a failure",
        "ingestion/lake/lake.py",
        "            self.application_name = process_name()  # so that the next writer lock fences what was left\n",
        "",
        "the next batch of the same process fences its own failed commit",
        (f"{_FENCING}::test_a_process_ends_what_its_own_failed_commit_left_in_the_server",),
    ),
    Mutant(
        "the lock is not looked at before the commit",
        _LOADER,
        "            if before_commit is not None:\n                before_commit()\n",
        "",
        "a batch whose lock is gone does not commit",
        (f"{_FENCING}::test_a_batch_whose_lock_is_gone_does_not_commit",),
    ),
    Mutant(
        "each statement of a load commits by itself",
        _LOADER,
        '        connection.execute("begin")\n        try:\n            info = pipeline.load()',
        "        try:\n            info = pipeline.load()",
        "rows, rejects and ledger appear together or not at all",
        (f"{_BATCH}::test_a_batch_is_one_snapshot_of_the_lake", _HEALS),
    ),
    Mutant(
        "a failed load leaves its transaction open",
        _LOADER,
        "            self._lake.close()  # also rolls back; a fresh connection cannot inherit a broken state\n",
        "",
        "the next batch inherits nothing of a failed one",
        (_HEALS,),
    ),
    Mutant(
        "a dead batch's package is loaded by the next one",
        _LOADER,
        "        shutil.rmtree(self._work_dir / stream, ignore_errors=True)\n",
        "        pass\n",
        "an unfinished package is dropped",
        (_HEALS, "tests/fault/test_kills.py::test_a_kill_at_a_named_place_loses_and_doubles_nothing"),
    ),
    Mutant(
        "a catalog that goes away under the writer lock is not said so",
        "ingestion/lake/catalog.py",
        "    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:\n",
        "    except psycopg2.InterfaceError as error:\n",
        "a catalog that goes away is a sentence",
        (_BEGINS,),
    ),
    Mutant(
        "a catalog that goes away under the ledger is not said so",
        "ingestion/land/batch.py",
        "        except duckdb.Error as error:\n            self._lake.close()",
        "        except duckdb.BinderException as error:\n            self._lake.close()",
        "a catalog that goes away is a sentence",
        (_BEGINS,),
    ),
    Mutant(
        "the batch's number is used again",
        "ingestion/land/batch.py",
        "            batch_id=state.last_batch_id + 1,",
        "            batch_id=max(state.last_batch_id, 1),",
        "a batch's number names one batch",
        (f"{_BATCH}::test_every_event_once_over_several_batches",),
    ),
    Mutant(
        "a partition's position is its first",
        "ingestion/lake/ledger.py",
        "    stream, source_partition, max(batch_id), max(end_position),\n",
        "    stream, source_partition, max(batch_id), min(end_position),\n",
        "the next batch begins where the last one ended",
        (f"{_BATCH}::test_every_event_once_over_several_batches",),
    ),
    Mutant(
        "a spool is trimmed before the commit",
        "ingestion/land/batch.py",
        "            load_id = self._loader.load(stream.name, tables, before_commit=lock.assert_held)\n",
        "            self._confirm(stream, log, windows)\n"
        "            load_id = self._loader.load(stream.name, tables, before_commit=lock.assert_held)\n",
        "what is not in the lake stays in the spool",
        (f"{_FENCING}::test_a_spool_is_trimmed_after_the_commit_and_never_fails_a_batch",),
    ),
    Mutant(
        "a broker that is away after the commit fails the batch",
        "ingestion/land/batch.py",
        '        except Exception as error:\n            _log.warning("positions not confirmed',
        '        except ZeroDivisionError as error:\n            _log.warning("positions not confirmed',
        "after the commit the lake has the events, whatever happens",
        (f"{_FENCING}::test_a_spool_is_trimmed_after_the_commit_and_never_fails_a_batch",),
    ),
    Mutant(
        "a load is committed before its files are on the disk",
        _LOADER,
        "            self._flush(written, str(info.loads_ids[0]))\n",
        "",
        "what the catalog knows survives a power loss",
        ("tests/powerloss/test_load.py",),
    ),
    Mutant(
        "the folders of a load's files are not flushed",
        "ingestion/lake/flushing.py",
        "            sync_folder(each)\n",
        "            pass\n",
        "a file without a name is not there after a power loss",
        ("tests/powerloss/test_load.py",),
    ),
)
