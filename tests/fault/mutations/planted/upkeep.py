"""Upkeep, backups and migrations take nothing away that somebody needs."""

from tests.fault.mutations.mutant import Mutant

_MAINTENANCE = "ingestion/upkeep/maintenance.py"
_TESTS = "tests/ingestion/test_maintenance.py"

MUTANTS = (
    Mutant(
        "files go without a grace",
        _MAINTENANCE,
        "        unused = self._before(self._limits.grace)\n",
        "        unused = self._before(timedelta(0))\n",
        "a file stays until its last reader has ended",
        (f"{_TESTS}::test_old_files_stay_for_a_grace_and_then_go", _TESTS),
    ),
    Mutant(
        "a stream's table is compacted beside its writer",
        _MAINTENANCE,
        "            return lambda: writer_lock("
        "settings, table.name, application_name=self._lake.application_name)\n",
        "            return nullcontext\n",
        "compaction takes its turn",
        (f"{_TESTS}::test_a_busy_stream_is_skipped_and_told_and_the_rest_is_done", _TESTS),
    ),
    Mutant(
        "a spool that was made again is trimmed by the old one's position",
        "ingestion/upkeep/files.py",
        "        if find_breaks(log, {log.partition: position}, {log.partition: bounds}):\n",
        "        if False:\n",
        "upkeep trims no spool but the one that the lake has read",
        (f"{_TESTS}::test_a_spool_that_was_made_again_is_not_trimmed_by_positions_of_the_one_before",),
    ),
    Mutant(
        "a living batch's folder is removed",
        "ingestion/upkeep/files.py",
        "    with writer_lock(lake.settings, folder.name, application_name=lake.application_name):\n"
        "        shutil.rmtree(folder, ignore_errors=True)\n",
        "    shutil.rmtree(folder, ignore_errors=True)\n",
        "a work folder goes when its batch is dead",
        (f"{_TESTS}::test_the_folder_of_a_batch_that_lives_stays_however_old_it_looks",),
    ),
    Mutant(
        "a compaction is committed before its files are on the disk",
        "ingestion/upkeep/compaction.py",
        "            flush(self._on_disk() - before, folder=self._folder, may_be_gone=True)\n",
        "            pass\n",
        "a table that was compacted survives a power loss",
        ("tests/powerloss/test_compaction.py",),
    ),
    Mutant(
        "a migration is noted before it is committed",
        "ingestion/migrate/prepare.py",
        '    connection.execute("begin")\n    try:\n        migration.apply(connection)',
        '    note_done(cursor, number)\n    connection.execute("begin")\n    try:\n        migration.apply(connection)',
        "a migration that was killed is done again",
        ("tests/ingestion/test_migrations.py",),
    ),
)
