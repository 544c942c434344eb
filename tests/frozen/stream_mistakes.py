"""Every kind of mistake in streams.yml, for errors.txt: what it is → the file's text."""

MISTAKES: dict[str, str] = {
    "unknown key with a likely one": "a:\n  source: {kafka: t}\n  feilds: {x: date}\n",
    "unknown key with no likely one": "a:\n  source: {kafka: t}\n  zzz: 1\n",
    "unknown key of a Kafka source": "a:\n  source: {kafka: t, strat: latest}\n",
    "unknown key of an MQTT source": "a:\n  source: {mqtt: t, qoss: 1}\n",
    "key of the other kind": "a:\n  source: {mqtt: t, on_truncated: earliest}\n",
    "unknown key of a field": "a:\n  source: {kafka: t}\n  fields:\n    x: {typo: date}\n",
    "'name' as a key": "a:\n  source: {kafka: t}\n  name: b\n",
    "no source": "a:\n  description: nothing\n",
    "unknown kind": "a:\n  source: {kafak: t}\n",
    "two kinds": "a:\n  source: {kafka: t, mqtt: u}\n",
    "source is not a mapping": "a:\n  source: orders\n",
    "source is empty": "a:\n  source: {}\n",
    "stream name in capitals": "Abc:\n  source: {mqtt: a/#}\n",
    "stream name with two underscores": "a__b:\n  source: {mqtt: a/#}\n",
    "stream name too long": f"{'a' * 61}:\n  source: {{mqtt: a/#}}\n",
    "stream name of a table": "batches:\n  source: {mqtt: a/#}\n",
    "topic filter with # in the middle": "a:\n  source: {mqtt: a/#/b}\n",
    "topic filter with a part of a level": "a:\n  source: {mqtt: a/b+}\n",
    "topic filter empty": "a:\n  source: {mqtt: ''}\n",
    "QoS 2": "a:\n  source: {mqtt: a, qos: 2}\n",
    "QoS is not a number": "a:\n  source: {mqtt: a, qos: high}\n",
    "start of an MQTT source": "a:\n  source: {mqtt: a, start: latest}\n",
    "topic name": "a:\n  source: {kafka: 'x; drop'}\n",
    "topic name with a path": "a:\n  source: {kafka: ../../x}\n",
    "no topic": "a:\n  source: {kafka: []}\n",
    "pattern that does not compile": "a:\n  source: {kafka: '^(x'}\n",
    "pattern beside a topic": "a:\n  source: {kafka: ['^x', y]}\n",
    "start is not a time": "a:\n  source: {kafka: t, start: soon}\n",
    "on_truncated": "a:\n  source: {kafka: t, on_truncated: skip}\n",
    "format": "a:\n  source: {kafka: t}\n  format: morse\n",
    "format with an unknown option": "a:\n  source: {kafka: t}\n  format: {json: {or_txt: true}}\n",
    "format with a wrong option": "a:\n  source: {kafka: t}\n  format: {json: {encoding: klingon}}\n",
    "two formats": "a:\n  source: {kafka: t}\n  format: {json: {}, csv: {}}\n",
    "field type": "a:\n  source: {kafka: t}\n\n  fields:\n    x: flot\n",
    "decimal too wide": "a:\n  source: {kafka: t}\n  fields:\n    x: decimal(39,2)\n",
    "field name": "a:\n  source: {kafka: t}\n  fields:\n    Xy: date\n",
    "field of a reserved name": "a:\n  source: {kafka: t}\n  fields: {position: bigint}\n",
    "level 0 of a topic": "a:\n  source: {kafka: t}\n  fields: {x: {topic: 0}}\n",
    "two places of a field": "a:\n  source: {kafka: t}\n  fields: {x: {topic: 1, key: true}}\n",
    "a path and a header": "a:\n  source: {kafka: t}\n  fields: {x: {header: h, path: b}}\n",
    "the broker's time as text": "a:\n  source: {kafka: t}\n  fields: {x: {broker_time: true, type: json}}\n",
    "field path": "a:\n  source: {kafka: t}\n  fields: {x: {type: date, path: a..b}}\n",
    "field path with a quote": 'a:\n  source: {kafka: t}\n  fields: {x: {type: date, path: "a\'b"}}\n',
    "fields is a list": "a:\n  source: {kafka: t}\n  fields: [x, y]\n",
    "event_time is not a field": "a:\n  source: {kafka: t}\n  event_time: at\n  fields: {att: date}\n",
    "event_time without fields": "a:\n  source: {kafka: t}\n  event_time: at\n",
    "business_id is not a field": "a:\n  source: {kafka: t}\n  business_id: [x, id]\n  fields: {x: date}\n",
    "sequence without per": "a:\n  source: {kafka: t}\n  sequence: {field: n}\n  fields: {n: bigint}\n",
    "sequence of an unknown key": "a:\n  source: {kafka: t}\n  sequence: {per: d, feild: n}\n",
    "sequence names no field": (
        "a:\n  source: {kafka: t}\n  sequence: {per: device, field: n}\n"
        "  fields: {devices: varchar, n: bigint}\n"
    ),
    "sequence counts by a text": (
        "a:\n  source: {kafka: t}\n  sequence: {per: d, field: n}\n  fields: {d: varchar, n: varchar}\n"
    ),
    "sequence counts per number": (
        "a:\n  source: {kafka: t}\n  sequence: {per: n, field: n}\n  fields: {n: bigint}\n"
    ),
    "sequence never is where it wraps": (
        "a:\n  source: {kafka: t}\n  sequence: {per: d, field: n, step: 2, wraps_at: 255}\n"
        "  fields: {d: varchar, n: bigint}\n"
    ),
    "sequence with too wide a reorder": (
        "a:\n  source: {kafka: t}\n  sequence: {per: d, field: n, wraps_at: 255, reorder: 128}\n"
        "  fields: {d: varchar, n: bigint}\n"
    ),
    "sequence with a negative limit": (
        "a:\n  source: {kafka: t}\n  sequence: {per: d, field: n, warn: -1}\n"
        "  fields: {d: varchar, n: bigint}\n"
    ),
    "max_reject_share over 1": "a:\n  source: {kafka: t}\n  max_reject_share: 7\n",
    "max_reject_share is not a number": "a:\n  source: {kafka: t}\n  max_reject_share: few\n",
    "owner": "a:\n  source: {kafka: t}\n  owners: [team:plant, ada]\n",
    "tag": "a:\n  source: {kafka: t}\n  tags: two words\n",
    "the same stream twice": "a:\n  source: {kafka: t}\na:\n  source: {kafka: u}\n",
    "the same key twice": "a:\n  source: {kafka: t}\n  source: {kafka: u}\n",
    "a stream is not a mapping": "a: 3\n",
    "the file is a list": "- a\n",
    "the file is not YAML": "a: [\n",
    "a YAML tag": "a:\n  source: !!python/object/apply:os.system ['true']\n",
}
