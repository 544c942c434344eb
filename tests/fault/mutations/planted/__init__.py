"""The bugs that people planted: a file for each part of the promise, in the order of an event's way."""

from collections.abc import Mapping

from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import (
    alarms,
    answers,
    clocks,
    doors,
    formats,
    foundations,
    http,
    identity,
    lake,
    landing,
    models,
    powerloss,
    proof,
    rabbitmq,
    repairs,
    rules,
    sequences,
    spool,
    streams,
    upkeep,
)

PARTS: Mapping[str, tuple[Mutant, ...]] = {
    "spool": spool.MUTANTS,
    "http": http.MUTANTS,
    "power loss": powerloss.MUTANTS,
    "identity of a log": identity.MUTANTS,
    "one fault, one stream": streams.MUTANTS,
    "clocks and networks": clocks.MUTANTS,
    "landing": landing.MUTANTS,
    "lake": lake.MUTANTS,
    "models": models.MUTANTS,
    "proof": proof.MUTANTS,
    "RabbitMQ": rabbitmq.MUTANTS,
    "repairs": repairs.MUTANTS,
    "upkeep": upkeep.MUTANTS,
    "alarms": alarms.MUTANTS,
    "sequences": sequences.MUTANTS,
    "rules": rules.MUTANTS,
    "formats": formats.MUTANTS,
    "answers": answers.MUTANTS,
    "foundations": foundations.MUTANTS,
    "doors": doors.MUTANTS,
}
"""Part → its bugs."""
PLANTED = tuple(mutant for mutants in PARTS.values() for mutant in mutants)
