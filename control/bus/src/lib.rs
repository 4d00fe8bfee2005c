//! The message bus: RabbitMQ, and its local form.
