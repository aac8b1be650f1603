"""How an EMR is spoken to: FHIR R4B and HL7 v2 out of what a chart says, and what its answers mean."""
