"""The bugs that people planted: a file for each part of the promise, in the order of an event's way."""

from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import identity, lake, landing, proof, repairs, spool, streams, upkeep

PLANTED: tuple[Mutant, ...] = (
    *spool.MUTANTS,
    *identity.MUTANTS,
    *streams.MUTANTS,
    *landing.MUTANTS,
    *lake.MUTANTS,
    *proof.MUTANTS,
    *repairs.MUTANTS,
    *upkeep.MUTANTS,
)
