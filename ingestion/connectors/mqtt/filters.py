"""MQTT topic filters: which topics are under one. Which stream wants which filter: topics.py."""

import re

_SHARED = re.compile(r"^\$share/[^/+#]+/(?=.)")


def unshared(topic_filter: str) -> str:
    """The filter without the group of a shared subscription: what its topics are matched with."""
    return _SHARED.sub("", topic_filter)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic is under a filter, by the rules of MQTT 5, section 4.7.

    Args:
        topic_filter: Levels with + for any one and # for any number at the end.
        topic: As published; those that begin with $ are not under a leading wildcard.
    """
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)
