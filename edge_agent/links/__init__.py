"""How bytes come and go: serial ports, TCP, MQTT. A link moves bytes, knows no protocol above, and fails alone."""
