"""What programs and people are answered: marts in one version of the lake, and one event's way."""

from tests.fault.mutations.mutant import Mutant

_SERVE, _TRACE = "ingestion/serve/", "ingestion/trace/"
_MARTS, _TRACES = "tests/ingestion/test_marts.py", "tests/orchestration/test_trace.py"

MUTANTS = (
    Mutant(
        "a row that was updated came twice and went never",
        f"{_SERVE}changes.py",
        '_WENT = ("delete", "update_preimage")',
        '_WENT = ("delete",)',
        "what has changed makes the mart of then the mart of now",
        (f"{_MARTS}::test_what_has_changed_makes_the_mart_of_then_the_mart_of_now",),
    ),
    Mutant(
        "changes of a mart that was made again are those of the new table alone",
        f"{_SERVE}questions.py",
        "whole = page.since is None or (made is not None and page.since < made)",
        "whole = page.since is None",
        "a mart that was made again comes whole",
        (f"{_MARTS}::test_a_mart_that_was_made_again_comes_whole",),
    ),
    Mutant(
        "changes of expired versions are left out",
        f"{_SERVE}changes.py",
        "kept >= version - since",
        "True",
        "changes are whole or refused",
        (f"{_MARTS}::test_what_cannot_be_answered_says_why",),
    ),
    Mutant(
        "a partition that was retired holds a mart back for ever",
        f"{_SERVE}moments.py",
        ") filter (where retired is null)",
        ")",
        "complete_to is the time up to which nothing is missing",
        (f"{_MARTS}::test_an_answer_says_how_fresh_and_how_complete_it_is",),
    ),
    Mutant(
        "a page of one mart is taken for one of another",
        f"{_SERVE}pages.py",
        "if page is None or page.mart != wanted.mart:",
        "if page is None:",
        "a page belongs to the answer that gave it",
        (f"{_MARTS}::test_what_cannot_be_answered_says_why",),
    ),
    Mutant(
        "pages show what is newer than their first one",
        f"{_SERVE}changes.py",
        '.{quoted(mart.table)} at (version => {version})"',
        '.{quoted(mart.table)}"',
        "pages belong to one version and hold each row once",
        (f"{_MARTS}::test_pages_belong_to_one_version_and_hold_each_row_once",),
    ),
    Mutant(
        "what retention deleted is said to wait",
        f"{_TRACE}event.py",
        "if named.position < bounds.begin:",
        "if False:",
        "trace says of a lost event that it is lost",
        (f"{_TRACES}::test_what_was_lost_is_said_before_and_after_the_loss_is_accepted",),
    ),
    Mutant(
        "what was given up is said to be older than the stream",
        f"{_TRACE}event.py",
        "if batch is not None and batch.start - skipped <= position:",
        "if False:",
        "trace says of a lost event that it is lost",
        (f"{_TRACES}::test_what_was_lost_is_said_before_and_after_the_loss_is_accepted",),
    ),
    Mutant(
        "what nobody has read is not looked through for a business id",
        f"{_TRACE}named.py",
        "                yield from self._unread(stream, text)\n",
        "                pass\n",
        "a business id names events that wait, too",
        (f"{_TRACES}::test_a_business_id_names_every_delivery_and_also_what_nobody_has_read",),
    ),
    Mutant(
        "a part of a mart's key is taken for the whole",
        f"{_TRACE}rows.py",
        'return ("key" if len(known) == len(table.key) else "part of the key"), known',
        'return "key", known',
        "trace guesses no rows",
        (f"{_TRACES}::test_an_event_is_followed_to_each_row_that_it_touched",),
    ),
    Mutant(
        "a table's build is the one before the event",
        f"{_TRACE}versions.py",
        "where snapshot_id > {{after}}",
        "where snapshot_id >= 0 * {{after}}",
        "the rows that an event touched are those of the build that took it in",
        (f"{_TRACES}::test_an_event_is_followed_to_each_row_that_it_touched",),
    ),
    Mutant(
        "attributes of AMQP are not read",
        "ingestion/watch/changes.py",
        '_AMQP = ("cloudEvents:", "cloudEvents_", "ce-")',
        "_AMQP = ()",
        "a CloudEvent of RabbitMQ is found by its business id",
        (
            "tests/orchestration/test_trace_sources.py::test_messages_of_a_rabbitmq_queue_are_found_in_the_spool",
        ),
    ),
)
