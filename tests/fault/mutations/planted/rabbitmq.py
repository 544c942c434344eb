"""RabbitMQ: acknowledgements, credit, what a queue's end means, where a stream begins and what it lost."""

from tests.fault.mutations.mutant import Mutant

_HOME = "ingestion/connectors/rabbitmq/"
_QUEUES, _STREAMS = "tests/ingestion/test_rabbitmq_queues.py", "tests/ingestion/test_rabbitmq_streams.py"

MUTANTS = (
    Mutant(
        "a queue's messages are acknowledged by being delivered",
        f"{_HOME}consumer.py",
        'self._on_message, exclusive=self._source.consumer == "exclusive"',
        'self._on_message, auto_ack=True, exclusive=self._source.consumer == "exclusive"',
        "acknowledged after fsync",
        (f"{_QUEUES}::test_what_cannot_be_stored_comes_again_and_says_so",),
    ),
    Mutant(
        "one message of a commit is acknowledged",
        f"{_HOME}consumer.py",
        "self._channel.basic_ack(tag, multiple=True)",
        "self._channel.basic_ack(tag)",
        "what is durable is acknowledged",
        (f"{_QUEUES}::test_after_a_cut_connection_each_is_there_and_the_copies_are_those_redelivered",),
    ),
    Mutant(
        "a queue's credit is not the declared one",
        f"{_HOME}consumer.py",
        "channel.basic_qos(prefetch_count=self._source.prefetch)\n            channel.add_on",
        "channel.basic_qos(prefetch_count=2000)\n            channel.add_on",
        "prefetch is the credit",
        (f"{_QUEUES}::test_the_prefetch_is_the_credit",),
    ),
    Mutant(
        "what was in hand is dropped with its queue",
        f"{_HOME}consumer.py",
        '_ONLY_COPY: Literal["never"] = "never"',
        '_ONLY_COPY: Literal["again"] = "again"',
        "ours may be the only copy",
        (f"{_QUEUES}::test_what_was_in_hand_when_its_queue_was_deleted_is_kept",),
    ),
    Mutant(
        "an exclusive consumer shares its queue",
        f"{_HOME}consumer.py",
        'exclusive=self._source.consumer == "exclusive"',
        "exclusive=False",
        "exclusive means alone",
        (f"{_QUEUES}::test_consumers_share_a_queue_unless_one_wants_it_alone",),
    ),
    Mutant(
        "a redelivered message is not marked",
        f"{_HOME}message.py",
        'kept["redelivered"] = redelivered',
        'kept["redelivered"] = False',
        "copies can be counted",
        (f"{_QUEUES}::test_what_cannot_be_stored_comes_again_and_says_so",),
    ),
    Mutant(
        "a message for nobody counts as sent",
        f"{_HOME}send.py",
        "mandatory=True",
        "mandatory=False",
        "send returns once the broker has accepted it",
        (f"{_QUEUES}::test_what_is_sent_to_a_missing_queue_is_not_taken_for_sent",),
    ),
    Mutant(
        "what retention deletes while a stream is read is taken for a hole",
        f"{_HOME}log.py",
        "if message.offset > at:",
        "if message.offset < at:",
        "nothing is lost unseen",
        (f"{_STREAMS}::test_what_retention_deleted_unread_is_reported_and_skipped_where_that_is_asked",),
    ),
    Mutant(
        "a stream gives no more than its credit",
        f"{_HOME}log.py",
        "            if at < window.end:\n                channel.acknowledge",
        "            if at > window.end:\n                channel.acknowledge",
        "a window is read to its end",
        (f"{_STREAMS}::test_each_message_is_in_raw_once_at_its_offset",),
    ),
    Mutant(
        "a stream begins at the first message of a chunk, whenever it was sent",
        f"{_HOME}asking.py",
        "if sent is None or sent >= moment:",
        "if sent is None or sent:",
        "start: a time",
        ("tests/conformance/test_logs.py::test_a_stream_begins_where_it_says",),
    ),
    Mutant(
        "a stream's offset is not where it begins",
        f"{_HOME}log.py",
        "return min(max(self._source.offset, bounds.begin), bounds.end)",
        "return bounds.begin",
        "start at an offset",
        (f"{_STREAMS}::test_it_begins_where_it_is_declared_to",),
    ),
)
