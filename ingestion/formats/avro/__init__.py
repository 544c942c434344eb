"""Avro: values, single objects and object containers as JSON text. How values map: docs/formats/avro.md."""
