"""HTTP: what is answered is stored, a key makes a repeated request one, and who may not send does not."""

from tests.fault.mutations.mutant import Mutant

_HTTP = "ingestion/connectors/http/"
_KEYS, _SENDERS, _TESTS = (f"tests/ingestion/test_http{name}.py" for name in ("_keys", "_senders", ""))

MUTANTS = (
    Mutant(
        "what is refused over HTTP is stored all the same",
        f"{_HTTP}listener.py",
        "            self._intake.revise(lambda delivery: None if delivery in refused else delivery)\n",
        "",
        "what was answered with 503 is not stored",
        (f"{_TESTS}::test_a_spool_that_cannot_be_written_refuses_and_goes_on",),
    ),
    Mutant(
        "a body of any length is read",
        f"{_HTTP}reading.py",
        "if length.isdigit() and int(length) > self._limit:",
        "if False:",
        "a body that is too large is refused before it is read",
        (f"{_TESTS}::test_a_body_that_is_too_large_is_refused_before_it_is_read",),
    ),
    Mutant(
        "a key is not noted",
        f"{_HTTP}once.py",
        "self._keys.note(noted, now=time.time())",
        "self._keys.note([], now=time.time())",
        "a request that is sent again with its key is stored once",
        (f"{_KEYS}::test_a_repeated_request_is_stored_once_and_answered_as_before",),
    ),
    Mutant(
        "keys of before a crash are not looked for",
        f"{_HTTP}once.py",
        "self._to_recover = set(hours)\n",
        "self._to_recover = set[str]()\n",
        "a request that was stored and not noted is not stored again",
        (f"{_KEYS}::test_what_was_stored_and_not_noted_is_found_in_the_spool",),
    ),
    Mutant(
        "a key takes another body's receipt",
        f"{_HTTP}once.py",
        "if known is not None and known.digest != delivery.digest:",
        "if False:",
        "one key with two bodies is refused",
        (f"{_KEYS}::test_a_repeated_request_is_stored_once_and_answered_as_before",),
    ),
    Mutant(
        "a request that is under way is not known",
        f"{_HTTP}once.py",
        "first = self._under_way.get((door.name, delivery.key))",
        "first = None",
        "the same request twice at once is stored once",
        ("tests/ingestion/test_http_once.py::test_a_request_that_is_under_way_is_known",),
    ),
    Mutant(
        "a stream that has a request gets it again with the one that lacks it",
        f"{_HTTP}once.py",
        "missing = tuple(stream for stream in door.streams if stream not in delivery.stored)",
        "missing = door.streams if len(delivery.stored) < len(door.streams) else ()",
        "a request is once in each stream that reads its address",
        (f"{_KEYS}::test_a_request_that_one_of_two_streams_has_is_stored_in_the_other",),
    ),
    Mutant(
        "a token is good for every stream",
        f"{_HTTP}tokens.py",
        'kept = [each["sha256"] for each in self._tokens if each["stream"] == stream]',
        'kept = [each["sha256"] for each in self._tokens]',
        "a token is its stream's",
        (f"{_SENDERS}::test_a_token_counts_as_soon_as_it_is_made_and_no_longer_than_it_is_there",),
    ),
    Mutant(
        "an ended token counts until the next start",
        f"{_HTTP}tokens.py",
        "if stamp == self._stamp:",
        "if self._stamp is not None:",
        "the end of a token counts at once",
        (f"{_SENDERS}::test_a_token_counts_as_soon_as_it_is_made_and_no_longer_than_it_is_there",),
    ),
    Mutant(
        "a signature of any age is good",
        f"{_HTTP}signatures.py",
        "return abs(now - int(stamp)) <= self.tolerance_seconds",
        "return True",
        "a signed request is good for its tolerance",
        (f"{_SENDERS}::test_a_signature_that_is_wrong_late_or_missing_is_refused",),
    ),
    Mutant(
        "a time that was not signed is believed",
        f"{_HTTP}signatures.py",
        'self.signed.replace("{timestamp}", stamp)',
        'self.signed.replace("{timestamp}", str(int(now)))',
        "the time of a signature is a part of what is signed",
        (
            f"{_SENDERS}::test_signatures_are_those_that_the_senders_document",
            f"{_SENDERS}::test_a_signature_of_ones_own_is_declared",
        ),
    ),
    Mutant(
        "whoever reaches the server past its proxy is answered",
        f"{_HTTP}app.py",
        "if self._access.proxies and client not in self._access.proxies and not is_loopback(client):",
        "if False:",
        "a server behind a proxy answers the proxy only",
        (f"{_SENDERS}::test_behind_a_proxy_only_the_proxy_is_answered",),
    ),
)
