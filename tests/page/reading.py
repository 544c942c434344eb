"""What stands in HTML, for tests."""

from html.parser import HTMLParser


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _parsed(html: str) -> _Parser:
    parser = _Parser()
    parser.feed(html)
    parser.close()
    return parser


def elements(html: str) -> list[tuple[str, dict[str, str | None]]]:
    """Each element with its attributes, in order."""
    return _parsed(html).elements


def texts(html: str) -> list[str]:
    """Its pieces of text."""
    return _parsed(html).texts


def shown(html: str) -> str:
    """Its text on one line."""
    return " ".join(" ".join(texts(html)).split())
