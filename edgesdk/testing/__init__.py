"""What others need to test what they build on edgesdk: small models, and a conformance suite."""
