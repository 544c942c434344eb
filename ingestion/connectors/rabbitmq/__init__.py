"""RabbitMQ: queues are collected, streams are logs."""
