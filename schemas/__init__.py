"""What travels: the report, the batch and its byte layout, the nomenclature, topic names, errors."""
