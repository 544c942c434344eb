"""How many alerts each reaction got and still waits for, by the ledger: for `status` and the exporter."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.reactions.declared import OWN, load_reactions, reactions_file
from orchestration.reactions.entries import read_ledger


def reaction_counts(settings: Settings) -> dict[str, Mapping[str, int]]:
    """Reaction → state → alerts, ever; also those that are declared and got none so far.

    Args:
        settings: Where the ledger and reactions.yml are.
    """
    names = [OWN] if settings.alert_webhook_url is not None else []
    with suppress(ConfigError):  # a condition says it; what the ledger holds is right all the same
        names += [reaction.name for reaction in load_reactions(reactions_file(settings))]
    counts = read_ledger(settings.data_dir).counts()
    return {name: counts.get(name, Counter()) for name in dict.fromkeys([*names, *sorted(counts)])}
