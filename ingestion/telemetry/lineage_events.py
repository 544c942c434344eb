"""Runs of jobs as OpenLineage's client writes them, and the client, which finds its transport by itself.

The only module that imports the client. Names of data sets: docs/lineage.md.
"""

import logging
from datetime import UTC, datetime
from importlib.metadata import version
from uuid import UUID, uuid5

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
    set_producer,
)
from openlineage.client.facet_v2 import (
    data_quality_assertions_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    output_statistics_output_dataset,
    parent_run,
    processing_engine_run,
    schema_dataset,
    sql_job,
)

from ingestion.environment import exported, restored
from ingestion.project import DISTRIBUTION
from ingestion.settings import Settings
from ingestion.telemetry.jobs import NAMESPACE, SWITCHES, Dataset, Event, Work

_VARIABLES = (
    *SWITCHES, "OPENLINEAGE_API_KEY", "OPENLINEAGE_ENDPOINT", "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH",
    "OPENLINEAGE__TRANSPORT__APPEND", "OPENLINEAGE__TRANSPORT__URL",
)  # fmt: skip
"""What the client reads from the environment, and may stand in .env; OPENLINEAGE__TRANSPORT has the rest."""
_PRODUCER = f"https://pypi.org/project/{DISTRIBUTION}"
_NAMESPACE = "millrace"
_PARENT_JOB = "dagster"
_LONGEST_TEXT = 300
_SILENT = logging.CRITICAL + 1


class LineageSender:
    """Sends events; not for sharing between threads.

    Args:
        settings: Read the environment and .env.
    """

    def __init__(self, settings: Settings) -> None:
        # Its own lines may name the address, with a login in it, and come with every event.
        logging.getLogger("openlineage").setLevel(_SILENT)
        set_producer(_PRODUCER)
        values = {name: settings.secret(name) for name in _VARIABLES}
        texts = {name: value.get_secret_value() for name, value in values.items() if value is not None}
        # The client writes what it has read into further variables, its key among them.
        with restored(), exported(texts):
            self._client = OpenLineageClient()
        namespace = settings.secret(NAMESPACE)
        self._namespace = namespace.get_secret_value() if namespace is not None else _NAMESPACE
        self._version = version(DISTRIBUTION)

    def send(self, event: Event) -> None:
        """Send an event, and wait for its answer.

        Raises:
            Exception: Of the client's transport.
        """
        self._client.emit(self._event(event))

    def close(self) -> None:
        """Close the transport."""
        self._client.close()

    def _event(self, event: Event) -> RunEvent:
        work, job = event.work, event.work.job
        return RunEvent(
            eventType=RunState(event.state),
            eventTime=datetime.fromtimestamp(event.at, UTC).isoformat(),
            run=Run(runId=str(_run_id(work)), facets=self._run_facets(event)),
            job=Job(namespace=self._namespace, name=job.name, facets=_job_facets(work)),
            producer=_PRODUCER,
            inputs=[self._input(each, work) for each in job.inputs],
            outputs=[self._output(each, work) for each in job.outputs],
        )

    def _run_facets(self, event: Event) -> dict[str, object]:
        facets: dict[str, object] = {
            "parent": parent_run.ParentRunFacet(
                run=parent_run.Run(runId=event.work.parent),
                job=parent_run.Job(namespace=self._namespace, name=_PARENT_JOB),
            ),
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
                version=self._version, name="Millrace"
            ),
        }
        if event.state == "FAIL":
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message=event.work.failure[:_LONGEST_TEXT], programmingLanguage="SQL"
            )
        return facets

    def _input(self, dataset: Dataset, work: Work) -> InputDataset:
        facets = {}
        if work.assertions:
            facets["dataQualityAssertions"] = (
                data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
                    assertions=[
                        data_quality_assertions_dataset.Assertion(assertion=check, success=passed)
                        for check, passed in sorted(work.assertions.items())
                    ]
                )
            )
        return InputDataset(
            namespace=self._place(dataset), name=dataset.name, facets=_facets(dataset), inputFacets=facets
        )

    def _output(self, dataset: Dataset, work: Work) -> OutputDataset:
        facets = _facets(dataset)
        if work.version is not None:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(
                datasetVersion=str(work.version)
            )
        statistics = {}
        if work.rows is not None:
            statistics["outputStatistics"] = (
                output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=work.rows)
            )
        return OutputDataset(
            namespace=self._place(dataset), name=dataset.name, facets=facets, outputFacets=statistics
        )

    def _place(self, dataset: Dataset) -> str:
        return dataset.namespace or f"ducklake://{self._namespace}"


def _run_id(work: Work) -> UUID:
    """Of a job within a run of Dagster's: each of its events has the same."""
    return uuid5(UUID(work.parent), work.job.name)


def _job_facets(work: Work) -> dict[str, object]:
    facets: dict[str, object] = {
        "jobType": job_type_job.JobTypeJobFacet(
            processingType="BATCH", integration="MILLRACE", jobType=work.job.kind
        )
    }
    if work.job.sql:
        facets["sql"] = sql_job.SQLJobFacet(query=work.job.sql)
    return facets


def _facets(dataset: Dataset) -> dict[str, object]:
    if not dataset.columns:
        return {}
    fields = [
        schema_dataset.SchemaDatasetFacetFields(name=name, type=type_) for name, type_ in dataset.columns
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)}
