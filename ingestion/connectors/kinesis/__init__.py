"""Amazon Kinesis Data Streams: shards are read in turn and collected (docs/sources/kinesis.md)."""
