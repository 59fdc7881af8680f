"""The wire: pydantic models of our kinds, their conversion to the domain, and CRD generation.

Law: this is the only place that knows how our YAML is spelled. Bad input leaves here as one message per fault, with
its field path; what passes is a value the domain can trust.
"""
