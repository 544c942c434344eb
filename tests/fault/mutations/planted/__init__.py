"""The bugs that people planted: a file for each part of the promise, in the order of an event's way."""

from tests.fault.mutations.mutant import Mutant
from tests.fault.mutations.planted import lake, landing, proof, repairs, spool, upkeep

PLANTED: tuple[Mutant, ...] = (
    *spool.MUTANTS,
    *landing.MUTANTS,
    *lake.MUTANTS,
    *proof.MUTANTS,
    *repairs.MUTANTS,
    *upkeep.MUTANTS,
)
