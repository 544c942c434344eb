"""Mail and chat programs, by apprise: https://github.com/caronc/apprise/wiki. Its addresses hold secrets."""

import logging
from importlib.util import find_spec

from ingestion.errors import ConfigError
from ingestion.settings import Settings
from orchestration.conditions.webhook import Answer
from orchestration.reactions.declared import Apprise, Reaction
from orchestration.reactions.entries import CLOSED, Notice
from orchestration.reactions.variables import require_secret

_TITLES = {True: "Millrace: over", False: "Millrace"}


class AppriseWay:
    """One service's address."""

    def __init__(self, reaction: Reaction, way: Apprise, settings: Settings) -> None:
        if find_spec("apprise") is None:
            raise ConfigError(
                f"reaction '{reaction.name}' needs apprise: install the extra 'reactions' (pip install "
                "'millrace-lakehouse[reactions]')"
            )
        import apprise

        # Their logs name addresses, and with them tokens.
        logging.getLogger("apprise").disabled = True
        logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
        address = require_secret(settings, way.url_env, reaction=reaction.name).get_secret_value()
        self._service = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Millrace", app_desc=""))
        if not self._service.add(address):
            raise ConfigError(f"{way.url_env} holds no address that apprise knows: see its list of services")
        (self._kind,) = {each.service_name for each in self._service}

    def send(self, notice: Notice) -> Answer:
        """Send it once: the sentence, and its remedy."""
        text = str(notice.content["text"]).removeprefix("Millrace: ").removeprefix("over: ")
        is_over = notice.content["event"] == CLOSED
        body = f"{text}\n{notice.content['system']}"
        taken = self._service.notify(title=_TITLES[is_over], body=body)
        return Answer(said="taken") if taken else Answer(f"{self._kind} did not take it")

    def close(self) -> None:
        """Nothing is kept."""
