"""Broker, database and MQTT broker out of wheels, for trying vitalwire on one machine and for tests."""

from vitalwire.embedded.services import Addresses, EmbeddedServices

__all__ = ["Addresses", "EmbeddedServices"]
