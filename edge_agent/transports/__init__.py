"""How bytes come in: serial, MLLP, MQTT. Each gives (frame, ack)."""
