"""SASL and TLS against real Kafka listeners: all work; a wrong password or authority is told, never shown."""

from pathlib import Path

import pytest

from ingestion.errors import SourceUnavailable
from ingestion.lake.lake import Lake
from ingestion.settings import Settings, load_settings
from tests.conftest import PASSWORD, USER
from tests.ingestion.helpers import ingest, kafka_log, kafka_stream
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.certificates import Certificates, make_certificates

pytestmark = pytest.mark.usefixtures("apache_kafka")  # skips where Kafka cannot run


def _settings(settings: Settings, server: ApacheKafka, **options: object) -> Settings:
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        kafka_bootstrap_servers=server.sasl_bootstrap_servers,
        kafka_security_protocol="SASL_PLAINTEXT",
        kafka_username=USER,
        source_timeout_seconds=5,
        **options,
    )


@pytest.mark.parametrize("client", ["kafka-python", "librdkafka"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_each_mechanism_reads(
    lake: Lake, settings: Settings, secured: ApacheKafka, mechanism: str, client: str
) -> None:
    known = _settings(
        settings, secured, kafka_sasl_mechanism=mechanism, kafka_password=PASSWORD, kafka_client=client
    )
    assert ingest(lake, kafka_stream("guarded"), known).events_landed == 2


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_wrong_password_is_one_sentence_without_the_password(
    settings: Settings, secured: ApacheKafka, mechanism: str
) -> None:
    wrong = _settings(settings, secured, kafka_sasl_mechanism=mechanism, kafka_password="wr0ng-and-private")
    log = kafka_log(kafka_stream("guarded"), wrong)
    with pytest.raises(SourceUnavailable, match=f"refuses user '{USER}'.*MILLRACE_KAFKA_PASSWORD") as caught:
        log.bounds()
    log.close()
    assert "wr0ng" not in str(caught.value)
    assert "wr0ng" not in repr(wrong)
    assert not list(Path(settings.data_dir).rglob("*wr0ng*"))


def _over_tls(settings: Settings, server: ApacheKafka, authority: Path | None, **options: object) -> Settings:
    return load_settings(
        data_dir=settings.data_dir,
        catalog=settings.catalog,
        kafka_ssl_ca_file=authority,
        source_timeout_seconds=3,
        **{"kafka_bootstrap_servers": server.ssl_bootstrap_servers, "kafka_security_protocol": "SSL"}
        | options,
    )


def _with_login(server: ApacheKafka, password: str) -> dict[str, object]:
    return {
        "kafka_bootstrap_servers": server.sasl_ssl_bootstrap_servers,
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_username": USER,
        "kafka_password": password,
    }


@pytest.mark.parametrize("login", [False, True])
def test_tls_reads_with_the_right_authority(
    lake: Lake, settings: Settings, secured: ApacheKafka, certificates: Certificates, login: bool
) -> None:
    options = _with_login(secured, PASSWORD) if login else {}
    known = _over_tls(settings, secured, certificates.authority, **options)
    assert ingest(lake, kafka_stream("guarded"), known).events_landed == 2


def _refusal(settings: Settings) -> str:
    log = kafka_log(kafka_stream("guarded"), settings)
    try:
        with pytest.raises(SourceUnavailable) as caught:
            log.bounds()
    finally:
        log.close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("login", [False, True])
def test_a_broker_of_an_unknown_authority_is_refused_in_a_sentence(
    settings: Settings, secured: ApacheKafka, tmp_path: Path, login: bool
) -> None:
    other = make_certificates(tmp_path / "other").authority
    told = _refusal(_over_tls(settings, secured, other, **(_with_login(secured, PASSWORD) if login else {})))
    assert "over TLS" in told
    assert "certificate" in told
    assert "MILLRACE_KAFKA_SSL_CA_FILE" in told
    assert PASSWORD not in told


def test_without_an_authority_of_ours_the_systems_hold(settings: Settings, secured: ApacheKafka) -> None:
    assert "over TLS" in _refusal(_over_tls(settings, secured, None))


def test_a_certificate_for_another_name_is_refused(
    settings: Settings, secured: ApacheKafka, certificates: Certificates
) -> None:
    elsewhere = secured.ssl_bootstrap_servers.replace("127.0.0.1", "localhost")
    known = _over_tls(settings, secured, certificates.authority, kafka_bootstrap_servers=elsewhere)
    assert "localhost" in _refusal(known)


def test_a_missing_authority_file_is_named(settings: Settings, secured: ApacheKafka, tmp_path: Path) -> None:
    told = _refusal(_over_tls(settings, secured, tmp_path / "none.pem"))
    assert str(tmp_path / "none.pem") in told
    assert "over TLS" in told


def test_over_tls_a_wrong_password_is_still_told_as_one(
    settings: Settings, secured: ApacheKafka, certificates: Certificates
) -> None:
    known = _over_tls(settings, secured, certificates.authority, **_with_login(secured, "wr0ng-and-private"))
    told = _refusal(known)
    assert f"refuses user '{USER}'" in told
    assert "wr0ng" not in told
