"""Power loss: what was said to be written is on the disk, and a backup is whole, also after a flush that failed."""

from tests.fault.mutations.mutant import Mutant

_WRITER, _PUBLISHED, _DURABLE = (
    "ingestion/spool/writer.py",
    "ingestion/spool/published.py",
    "ingestion/durable.py",
)
_LINES, _BACKUP_FILES = "orchestration/conditions/lines.py", "ingestion/backup/files.py"
_SPOOL, _FILES, _BACKUP = (f"tests/powerloss/test_{name}.py" for name in ("spool", "files", "backup"))
_FAILED = "tests/powerloss/test_flushes_that_failed.py"
_JOURNAL_TESTS = "tests/orchestration/conditions/test_journal.py"

MUTANTS = (
    Mutant(
        "a frame is acknowledged before its flush",
        _WRITER,
        "        try:\n            os.fdatasync(self._fd)\n",
        "        try:\n            pass\n",
        "what is acknowledged is on the disk",
        (_SPOOL,),
    ),
    Mutant(
        "after a flush that failed the segment is written on",
        _WRITER,
        "            if self._unproven or self._tail.offset >= self._segment_bytes:\n",
        "            if self._tail.offset >= self._segment_bytes:\n",
        "a second flush does not bring to the disk what the first one lost",
        (_FAILED,),
    ),
    Mutant(
        "the last frame is taken as proven when a spool is opened",
        _WRITER,
        "        _write_all(self._fd, [last], offset=self._tail.last)\n",
        "",
        "of the last frame nobody knows whether its flush succeeded",
        (_FAILED, _SPOOL),
    ),
    Mutant(
        "the folders of a spool that a killed writer made are not flushed",
        _WRITER,
        "            sync_folder(folder)\n        return self._tail\n",
        "            pass\n        return self._tail\n",
        "a segment has its name after a power loss",
        (_FAILED,),
    ),
    Mutant(
        "readers see what no writer vouches for",
        "ingestion/spool/reader.py",
        "        published = read_published(self.folder, log_id)\n",
        "        published = None\n",
        "the lake is never ahead of the spool",
        (_SPOOL, "tests/ingestion/test_spool.py"),
    ),
    Mutant(
        "the word of an earlier start of the machine counts",
        _PUBLISHED,
        "            ours = (start, log) == (machine_start().bytes, log_id.encode())\n",
        "            ours = log == log_id.encode()\n",
        "after a power loss whatever is read comes from the disk",
        (_FAILED,),
    ),
    Mutant(
        "the word about another log counts",
        _PUBLISHED,
        "            ours = (start, log) == (machine_start().bytes, log_id.encode())\n",
        "            ours = start == machine_start().bytes\n",
        "a published position is one log's",
        (_FAILED,),
    ),
    Mutant(
        "a half-written word counts",
        _PUBLISHED,
        "        if len(crc) == _CRC.size and _CRC.unpack(crc) == (crc32c(fields),):\n",
        "        if len(crc) == _CRC.size:\n",
        "a published position is read whole or not at all",
        (_FAILED,),
    ),
    Mutant(
        "a replaced file is not flushed",
        _DURABLE,
        "        file.flush()\n        os.fsync(fd)\n    os.replace(fresh, path)\n",
        "        file.flush()\n    os.replace(fresh, path)\n",
        "after a power loss a file is the old one or the new one, never torn",
        (_FILES,),
    ),
    Mutant(
        "the name of a replaced file is not flushed",
        _DURABLE,
        "    os.replace(fresh, path)\n    sync_folder(path.parent)\n",
        "    os.replace(fresh, path)\n",
        "what was written is there after a power loss",
        (_FILES,),
    ),
    Mutant(
        "the name of a new folder is not flushed",
        _DURABLE,
        "    try:\n        sync_folder(folder.parent)\n    except OSError:\n",
        "    try:\n        pass\n    except OSError:\n",
        "what was written is there after a power loss",
        (_FILES, _SPOOL),
    ),
    Mutant(
        "a folder whose name could not be flushed counts as made",
        _DURABLE,
        "            folder.rmdir()  # so that the next call makes it, and flushes its name\n",
        "            pass\n",
        "a flush that failed is done again",
        (_FILES, _SPOOL),
    ),
    Mutant(
        "a condition is not flushed",
        _LINES,
        "            os.fsync(file.fileno())\n",
        "            pass\n",
        "what was opened is open after a power loss",
        (_FILES,),
    ),
    Mutant(
        "the next process writes after a torn line",
        _LINES,
        "        self._damaged = path.exists()\n",
        "        self._damaged = False\n",
        "a line that follows a torn one is not lost with it",
        (_JOURNAL_TESTS, _FILES),
    ),
    Mutant(
        "a backup's own files are not flushed",
        _BACKUP_FILES,
        "                path.chmod(0o600)\n                _flush(path)\n",
        "                path.chmod(0o600)\n",
        "what is called a backup is whole",
        (_BACKUP,),
    ),
    Mutant(
        "a backup believes that files of the lake are on the disk",
        _BACKUP_FILES,
        "            if near is source:\n                _flush(target)\n",
        "",
        "what is called a backup is whole",
        (_BACKUP,),
    ),
    Mutant(
        "the names of restored files are not flushed",
        _BACKUP_FILES,
        "    for root, _, _ in os.walk(folder):\n        sync_folder(Path(root))\n",
        "    return\n",
        "a restored lake is whole",
        (_BACKUP,),
    ),
)
