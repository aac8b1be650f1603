"""The publisher: cuts batches while the broker can be reached, sends them, and takes their receipts.

Three threads beside the event loop: `watch` asks the broker who it is, `publish` cuts and sends, `receive` reads this
edge's partition of the topic `receipts`. The only package of the edge that knows the Kafka client (librdkafka: its
CONFIGURATION.md).
"""

from edge_agent.publisher.publisher import Publisher
from edge_agent.publisher.security import kafka_problem
from edge_agent.publisher.sender import refusal_mend

__all__ = ["Publisher", "kafka_problem", "refusal_mend"]
