"""The hourly audit asks the broker too: what is unread may be in danger, or gone, or the broker away."""

from dagster import AssetCheckResult
from kafka import KafkaAdminClient, TopicPartition

from ingestion.lake.lake import Lake
from ingestion.land.session import LakeSession
from ingestion.settings import Settings
from orchestration.checks.ledger import audit_ledger
from tests.ingestion.helpers import ingest, kafka_stream, produce
from tests.servers.apache_kafka import ApacheKafka


def test_the_audit_tells_what_retention_did_or_is_about_to_do(
    lake: Lake, settings: Settings, apache_kafka: ApacheKafka
) -> None:
    servers, stream = apache_kafka.bootstrap_servers, kafka_stream("audited", on_truncated="fail")
    there = settings.replaced(kafka_bootstrap_servers=servers)
    apache_kafka.create_topic(stream.name, partitions=1)
    produce(servers, stream.name, [b"1"] * 5)
    ingest(lake, stream, there)

    def audit(using: Settings = there) -> AssetCheckResult:
        session = LakeSession(using)
        try:
            return audit_ledger(session, stream)
        finally:
            session.lake.close()

    def seen(result: AssetCheckResult) -> tuple[bool, str, object]:
        return result.passed, result.severity.value, result.metadata["outcome"].value

    def delete_before(position: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=servers)
        admin.delete_records({TopicPartition(stream.name, 0): position})
        admin.close()

    assert audit().passed
    produce(servers, stream.name, [b"2"] * 10)
    unread = audit()
    assert unread.passed
    assert unread.metadata["broker"].value == {"audited-0": {"oldest": 0, "ours": 5, "next": 15}}
    delete_before(5)
    assert seen(audit()) == (False, "WARN", "warned")
    assert "retention is 0 positions behind 10 unread ones" in str(audit().description)
    delete_before(8)
    assert seen(audit()) == (False, "ERROR", "failed")
    assert "retention deleted 3 unread positions" in str(audit().description)
    away = audit(there.replaced(kafka_bootstrap_servers="127.0.0.1:9"))
    assert seen(away) == (False, "WARN", "warned")
    assert "only the lake was looked at" in str(away.description)
