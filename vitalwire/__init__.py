"""The one command line, and the embedded services for trying it on one machine."""
