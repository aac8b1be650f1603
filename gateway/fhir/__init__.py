"""The API `/fhir` (FHIR R4): what is charted, for programs that ask. Loopback, as long as nobody can sign in."""
