"""Every error a user may see: one sentence that names the thing, the place and the remedy.

Anything else that is raised is a defect of Millrace. The CLI prints these without a traceback.
"""


class MillraceError(Exception):
    """Base of all expected errors; its text is shown to users as it is."""


class ConfigError(MillraceError):
    """streams.yml, .env or an environment variable is wrong."""


class CatalogUnavailable(MillraceError):
    """The lake's PostgreSQL catalog cannot be reached, or refused the password."""


class ServingUnavailable(MillraceError):
    """The database for BI tools cannot be reached, or cannot be written."""


class StorageError(MillraceError):
    """A folder cannot be written or read."""


class SourceUnavailable(MillraceError):
    """A broker cannot be reached in time, refused the credentials, or lacks the topic."""


class SourceMissing(SourceUnavailable):
    """A broker that answers has nothing of what a stream names."""


class SourceStalled(SourceUnavailable):
    """A broker that answers gives no events although it has more, over a second connection too."""


class LogTruncated(MillraceError):
    """The log no longer holds the position that comes next, or is not the log it was."""


class FormatUnavailable(MillraceError):
    """What a format needs to decode events does not answer; nothing was rejected for it."""


class StreamBusy(MillraceError):
    """Another process is writing this stream."""


class BatchFailed(MillraceError):
    """A batch could not be committed; nothing of it is in the lake."""


class TooManyRejects(BatchFailed):
    """A batch has a larger share of rejects than its stream allows; it was not loaded."""


class RejectNotFound(MillraceError):
    """No such reject is in the lake."""


class EventUnknown(MillraceError):
    """No event of that name is in the lake or in a log."""


class MaintenanceError(MillraceError):
    """Upkeep found contents changed by a compaction; nothing was deleted after it."""


class BackupError(MillraceError):
    """A backup cannot be taken, or cannot be restored here."""


class LakeTooNew(MillraceError):
    """A newer release has written the lake; this one does not open it."""


class LakeClaimed(MillraceError):
    """The lake's folder belongs to another system."""


class LakeOutdated(MillraceError):
    """An older release has written the lake, and it has to be migrated before anything is written."""


class MigrationFailed(MillraceError):
    """A migration of the lake failed; the lake is as it was before it."""
