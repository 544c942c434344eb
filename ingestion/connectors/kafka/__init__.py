"""Apache Kafka: topics are read as a log."""
