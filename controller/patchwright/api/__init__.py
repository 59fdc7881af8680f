"""The wire: pydantic models of our kinds, their conversion to the domain, and CRD generation.

Law: this is the only place that knows how our YAML is spelled. Bad input leaves here as one message per fault, with
its field path; what passes is a value the domain can trust. The models hold what a user wrote and no defaults: those
are the domain's, and the CRDs carry none (an API server that fills in fields makes every Git diff noisy).

Where to look: ``base`` and ``scalars`` are the vocabulary, ``patchpolicy``, ``patchrollout``, ``policyrepository`` and
``healthchecks`` the kinds, ``parse`` the way in, ``rolloutstate`` and ``status`` the way to and from ``status``,
``crds`` the generated schemas.
"""
